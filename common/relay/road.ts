// Where a relay puts its publisher's media: one next hop with back-pressure, or many, one after the other.
import type { MediaMessage } from '../../media/rtmp/message.ts'
import type { Refusal } from '../contract/refusal.ts'

export interface Road {
  /** Gate one; undefined lets the publish start. */
  open(): Promise<Refusal | undefined>
  /** False: the publisher has to wait. */
  push(message: MediaMessage): boolean
  /**
   * The publisher has left; resolves once nothing of it is under way any more. `isHurried`: no other next hop is looked
   * for, for what it has sent.
   */
  finish(isHurried?: boolean): Promise<void>
  /** Goes over another next hop, if one takes it; the present one serves until then. */
  move(): void
  destroy(): void
}
