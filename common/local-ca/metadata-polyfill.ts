// The three functions of the Reflect metadata proposal that @peculiar/x509's container calls while it loads.
// They are absent from every engine so far; where another module has brought them, those stay.

type Metadata = Map<unknown, unknown>

const metadata = new WeakMap<object, Metadata>()

function getOwnMetadata(key: unknown, target: object): unknown {
  return metadata.get(target)?.get(key)
}

function getMetadata(key: unknown, target: object): unknown {
  for (let at: object | null = target; at; at = Object.getPrototypeOf(at)) {
    const own = metadata.get(at)
    if (own?.has(key)) return own.get(key)
  }
  return undefined
}

function defineMetadata(key: unknown, value: unknown, target: object): void {
  const own: Metadata = metadata.get(target) ?? new Map()
  metadata.set(target, own.set(key, value))
}

if (!('getMetadata' in Reflect)) {
  Object.assign(Reflect, { getOwnMetadata, getMetadata, defineMetadata })
}
