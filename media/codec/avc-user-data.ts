// H.264: the settings that x264 writes into its stream, as unregistered user data (ISO/IEC 14496-10 §D.1.7).

const nalSei = 6
const payloadUserDataUnregistered = 5
const x264Uuid = Buffer.from('dc45e9bde6d948b7962cd820d923eeef', 'hex')

/**
 * The settings as x264 names them, `rc` and `crf` among them. `frame` is a frame as MP4 and FLV carry it, with
 * `nalLengthBytes` in front of each NAL unit. Undefined where it has none. Never throws.
 */
export function readX264Settings(
  frame: Buffer,
  nalLengthBytes: number,
): ReadonlyMap<string, string> | undefined {
  let at = 0
  while (at + nalLengthBytes < frame.length) {
    const start = at + nalLengthBytes
    at = start + frame.readUIntBE(at, nalLengthBytes)
    if (at > frame.length) return undefined
    if ((frame[start]! & 0x1f) !== nalSei) continue
    const text = x264Text(frame.subarray(start + 1, at))
    if (text !== undefined) return settingsOf(text)
  }
  return undefined
}

/** Emulation prevention is left in: text needs none, and a size that has some is not x264's. */
function x264Text(sei: Buffer): string | undefined {
  let at = 0
  while (at < sei.length) {
    const type = readSeiNumber(sei, at)
    const size = type && readSeiNumber(sei, type.end)
    if (!size || size.end + size.value > sei.length) return undefined
    const payload = sei.subarray(size.end, size.end + size.value)
    const isX264 = type.value === payloadUserDataUnregistered && startsWith(payload, x264Uuid)
    if (isX264) return payload.toString('latin1', x264Uuid.length)
    at = size.end + size.value
  }
  return undefined
}

/** §7.3.2.3.1: bytes of 255 count on, the first other byte ends the number. */
function readSeiNumber(bytes: Buffer, from: number): { value: number; end: number } | undefined {
  let value = 0
  for (let at = from; at < bytes.length; at++) {
    value += bytes[at]!
    if (bytes[at] !== 0xff) return { value, end: at + 1 }
  }
  return undefined
}

function settingsOf(text: string): ReadonlyMap<string, string> | undefined {
  const [, options] = text.split('options: ')
  if (options === undefined) return undefined
  return new Map(
    [...options.matchAll(/(\w+)=([^\s\0]+)/g)].map(([, name, value]) => [name!, value!]),
  )
}

function startsWith(bytes: Buffer, prefix: Buffer): boolean {
  return bytes.subarray(0, prefix.length).equals(prefix)
}
