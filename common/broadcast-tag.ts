// Short names of broadcasts in public URLs.
import { randomInt } from 'node:crypto'

const alphabet = 'abcdefghijklmnopqrstuvwxyz0123456789'

/** 10 letters and digits, 51 random bits. */
export function makeBroadcastTag(): string {
  return Array.from({ length: 10 }, () => alphabet[randomInt(alphabet.length)]).join('')
}
