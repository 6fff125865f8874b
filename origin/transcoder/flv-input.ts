// Cuts the FLV bytes that the receiver hands on into tags.
import type { InputTag } from './input-tracks.ts'

const fileHeaderBytes = 13
const tagHeaderBytes = 11
const trailerBytes = 4
const kinds: Record<number, InputTag['kind']> = { 8: 'audio', 9: 'video', 18: 'script' }
const maxTagBytes = 8 * 1024 * 1024

export class FlvInput {
  #rest: Buffer = Buffer.alloc(0)
  #isOpen = false

  /** `undefined` when the bytes are no FLV. */
  push(bytes: Buffer): InputTag[] | undefined {
    const data = this.#rest.length > 0 ? Buffer.concat([this.#rest, bytes]) : bytes
    const tags: InputTag[] = []
    let offset = 0
    if (!this.#isOpen) {
      if (data.length < fileHeaderBytes) {
        this.#rest = data
        return tags
      }
      if (data.toString('latin1', 0, 3) !== 'FLV') return undefined
      offset = fileHeaderBytes
      this.#isOpen = true
    }
    while (data.length - offset >= tagHeaderBytes) {
      const size = data.readUIntBE(offset + 1, 3)
      const kind = kinds[data[offset]!]
      if (!kind || size > maxTagBytes) return undefined
      const end = offset + tagHeaderBytes + size
      if (data.length < end + trailerBytes) break
      const timestampMs = data.readUIntBE(offset + 4, 3) + data[offset + 7]! * 0x100_0000
      tags.push({ kind, timestampMs, payload: data.subarray(offset + tagHeaderBytes, end) })
      offset = end + trailerBytes
    }
    this.#rest = data.subarray(offset)
    return tags
  }
}
