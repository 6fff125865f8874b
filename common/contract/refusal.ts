// Every reason for which a publisher is refused: one closed set that log, counter, console and the
// RTMP status share. The sentence is for the person at the encoder.

export const refusals = {
  'key-unknown': 'The stream key is not known. Copy it again from the channel page.',
  'key-revoked': 'The stream key has been revoked. Use the new key of the channel.',
  'key-expired': 'The stream key has expired. Ask for a new one.',
  'channel-banned': 'The channel has been banned by the operator of this server.',
  'key-missing': 'No stream key was given. Put it into the stream key field of the encoder.',
  'bandwidth-test-over':
    'The bandwidth test is over. Take "?bandwidthtest=true" off the key to go live.',
  'app-unknown': 'Publish to the application "live", as in rtmps://HOST:443/live.',
  'already-publishing': 'The channel is already live from another encoder.',
  'takeover-too-often':
    'Two encoders take this channel from each other. Stop one of them, or try again in a few seconds.',
  'no-gateway': 'No gateway can be reached at the moment. Try again in a few seconds.',
  'no-transcoder': 'No transcoder is free at the moment. Try again in a few seconds.',
  'coordinator-away': 'Streams cannot be started at the moment. Try again in a few seconds.',
  'path-lost': 'The path of the stream inside the network broke. Connect again.',
  'lease-lost': 'The stream has been moved to another node. Connect again.',
  'broadcast-stopped': 'The broadcast was ended by its operator.',
  maintenance: 'This node is being taken out of service. Connect again.',
  'codec-unsupported': 'Only H.264 video and AAC audio are accepted.',
  'resolution-too-large': 'The picture is larger than this server accepts.',
  'frame-rate-too-high': 'The frame rate is higher than this server accepts.',
  'bitrate-too-high': 'The bitrate is higher than this server accepts.',
  'keyframe-interval-too-long': 'The keyframe interval is too long. Set it to 2 seconds.',
  'audio-format-unsupported': 'The audio sample rate or channel count is not accepted.',
  'input-broken': 'The stream cannot be read: its headers or timestamps are broken.',
  'no-media': 'No audio or video arrived.',
  'transcoder-failed': 'The transcoder failed. Connect again.',
  'input-quarantined':
    'The transcoder failed three times in a minute on this stream. Check the settings of the encoder and try again in a minute.',
  'protocol-error': 'The encoder sent bytes that are not valid RTMP.',
  'address-banned': 'Too many wrong stream keys came from this address. Try again in ten minutes.',
  'too-many-attempts': 'The stream key is used too often. Try again in a few seconds.',
  'too-many-streams': 'Too many encoders use this stream key. Stop the others.',
  'node-full': 'This server takes no more streams at the moment. Try again in a few seconds.',
  'too-slow': 'The encoder did not finish connecting in time.',
} as const

export type RefusalCode = keyof typeof refusals

export interface Refusal {
  code: RefusalCode
  /** The sentence of the code, made specific where the facts are known. */
  message: string
}

export function refusal(code: RefusalCode, detail?: string): Refusal {
  return { code, message: detail ?? refusals[code] }
}

const inputVerdicts: ReadonlySet<RefusalCode> = new Set([
  'codec-unsupported',
  'resolution-too-large',
  'frame-rate-too-high',
  'bitrate-too-high',
  'keyframe-interval-too-long',
  'audio-format-unsupported',
  'input-broken',
  'input-quarantined',
] satisfies RefusalCode[])

/** True for verdicts on what the encoder sends: they come after the start and hold for the next try too. */
export function isInputVerdict(code: RefusalCode): boolean {
  return inputVerdicts.has(code)
}

const keyVerdicts: ReadonlySet<RefusalCode> = new Set([
  'key-unknown',
  'key-revoked',
  'key-expired',
] satisfies RefusalCode[])

/** True for verdicts that somebody who tries keys would hear. */
export function isKeyVerdict(code: RefusalCode): boolean {
  return keyVerdicts.has(code)
}

/** RTMP status code of a refusal: BadName makes encoders show the reason and stop trying. */
export function statusCodeOf(code: RefusalCode): string {
  return isRetryable(code) ? 'NetStream.Publish.Failed' : 'NetStream.Publish.BadName'
}

const retryable: ReadonlySet<RefusalCode> = new Set([
  'takeover-too-often',
  'no-gateway',
  'no-transcoder',
  'coordinator-away',
  'path-lost',
  'lease-lost',
  'maintenance',
  'transcoder-failed',
  'too-many-attempts',
  'too-many-streams',
  'node-full',
  'too-slow',
] satisfies RefusalCode[])

/** True where the same encoder, unchanged, may succeed in a few seconds. */
export function isRetryable(code: RefusalCode): boolean {
  return retryable.has(code)
}

/** `description` of the RTMP status: the sentence, then the code in brackets, so that a relay can read it back. */
export function statusDescription({ code, message }: Refusal): string {
  return `${message} (${code})`
}

const described = /^(.*) \(([a-z-]+)\)$/s

export function refusalFromDescription(description: string): Refusal | undefined {
  const match = described.exec(description)
  if (!match || !Object.hasOwn(refusals, match[2]!)) return undefined
  return { code: match[2] as RefusalCode, message: match[1]! }
}
