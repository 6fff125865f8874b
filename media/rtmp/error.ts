// Why a session gave up on its peer: one closed set, safe to log and to count.

export const rtmpErrorReasons = [
  'version-unsupported',
  'handshake-failed',
  'chunk-stream-unknown',
  'too-many-chunk-streams',
  'message-interrupted',
  'message-too-large',
  'too-much-partial-data',
  'chunk-size-invalid',
  'control-malformed',
  'aggregate-malformed',
  'amf-malformed',
  'command-invalid',
  'command-unexpected',
  'app-refused',
  'too-many-streams',
  'too-much-talk',
] as const

export type RtmpErrorReason = (typeof rtmpErrorReasons)[number]

export interface RtmpError {
  reason: RtmpErrorReason
  /** Made of our own words and numbers only: nothing of what the peer sent, so no key either. */
  message: string
}

export function rtmpError(reason: RtmpErrorReason, message: string): RtmpError {
  return { reason, message }
}
