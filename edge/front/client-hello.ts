// Reads of a TLS ClientHello what must be known before a TLS server gets the connection (RFC 8446 §4.1.2).

export type ClientHello =
  | { kind: 'more' }
  /** Not one that we can read whole: let the TLS server judge it. */
  | { kind: 'unclear' }
  | { kind: 'hello'; hasServerName: boolean; hasAlpn: boolean }

const recordHandshake = 22
const messageClientHello = 1
const recordHeaderBytes = 5
// RFC 8446 §5.1: the longest plain record.
const maxRecordBytes = 16_384
const extensionServerName = 0
const extensionAlpn = 16

/** `bytes` are all that has arrived so far. Never throws. */
export function parseClientHello(bytes: Buffer): ClientHello {
  if (bytes.length > 0 && bytes[0] !== recordHandshake) return { kind: 'unclear' }
  if (bytes.length < recordHeaderBytes) return { kind: 'more' }
  const recordLength = bytes.readUInt16BE(3)
  if (recordLength > maxRecordBytes) return { kind: 'unclear' }
  if (bytes.length < recordHeaderBytes + recordLength) return { kind: 'more' }
  const message = bytes.subarray(recordHeaderBytes, recordHeaderBytes + recordLength)
  // A message that goes on in the next record is rare enough to be left to the TLS server.
  if (message.length < 4 || message[0] !== messageClientHello) return { kind: 'unclear' }
  const body = message.subarray(4, 4 + message.readUIntBE(1, 3))
  if (body.length < message.readUIntBE(1, 3)) return { kind: 'unclear' }
  const extensions = extensionsOf(body)
  if (!extensions) return { kind: 'unclear' }
  return {
    kind: 'hello',
    hasServerName: extensions.has(extensionServerName),
    hasAlpn: extensions.has(extensionAlpn),
  }
}

function extensionsOf(body: Buffer): Set<number> | undefined {
  // legacy_version, random; then three vectors with lengths of 1, 2 and 1 bytes.
  let at = 2 + 32
  for (const width of [1, 2, 1]) {
    if (at + width > body.length) return undefined
    at += width + body.readUIntBE(at, width)
  }
  const types = new Set<number>()
  if (at === body.length) return types
  if (at + 2 > body.length || at + 2 + body.readUInt16BE(at) !== body.length) return undefined
  at += 2
  while (at < body.length) {
    if (at + 4 > body.length) return undefined
    types.add(body.readUInt16BE(at))
    at += 4 + body.readUInt16BE(at + 2)
  }
  return at === body.length ? types : undefined
}
