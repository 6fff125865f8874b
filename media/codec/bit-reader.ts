// Reads bits and Exp-Golomb codes. Past the end it gives zeros and says so: parsers look once, at the end.

/** H.264 §9.1 codes are at most 32 bits of value: 32 zeros in front are already too many. */
const maxLeadingZeros = 31

export class BitReader {
  readonly #bytes: Uint8Array
  #bit = 0
  #isBroken = false

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** True once something was read that is not there or cannot be. */
  get isBroken(): boolean {
    return this.#isBroken
  }

  get leftBits(): number {
    return this.#bytes.length * 8 - this.#bit
  }

  bit(): number {
    const byte = this.#bytes[this.#bit >> 3]
    if (byte === undefined) {
      this.#isBroken = true
      return 0
    }
    return (byte >> (7 - (this.#bit++ & 7))) & 1
  }

  flag(): boolean {
    return this.bit() === 1
  }

  /** Up to 32 bits, unsigned. */
  bits(count: number): number {
    let value = 0
    for (let i = 0; i < count; i++) value = value * 2 + this.bit()
    return value
  }

  /** ue(v). */
  unsignedGolomb(): number {
    let zeros = 0
    while (this.bit() === 0) {
      if (this.#isBroken || ++zeros > maxLeadingZeros) {
        this.#isBroken = true
        return 0
      }
    }
    return 2 ** zeros - 1 + this.bits(zeros)
  }

  /** se(v). */
  signedGolomb(): number {
    const code = this.unsignedGolomb()
    return code % 2 === 1 ? (code + 1) / 2 : -code / 2
  }
}
