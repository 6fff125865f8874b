// Which content codings a client takes (RFC 9110 §12.5.3).

/** Named with a weight above 0; a bare `*` is not taken for a wish. */
export function acceptsCoding(header: string | undefined, coding: string): boolean {
  if (header === undefined) return false
  return header.split(',').some((item) => {
    const [name = '', ...parameters] = item.split(';')
    if (name.trim().toLowerCase() !== coding) return false
    return !parameters.some((parameter) => /^\s*q=0(?:\.0*)?\s*$/i.test(parameter))
  })
}
