// Writes elements of an XML document as text.

export type Attributes = Record<string, string | number>

/** `children` are written elements; attributes keep their order. */
export function element(
  name: string,
  attributes: Attributes,
  children: readonly string[] = [],
): string {
  const written = Object.entries(attributes)
    .map(([key, value]) => ` ${key}="${escapeXml(String(value))}"`)
    .join('')
  if (children.length === 0) return `<${name}${written}/>`
  return `<${name}${written}>${children.join('')}</${name}>`
}

/** xs:duration. */
export function isoDuration(seconds: number): string {
  return `PT${Number(seconds.toFixed(6))}S`
}

function escapeXml(text: string): string {
  return text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`)
}
