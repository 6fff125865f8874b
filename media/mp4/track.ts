// What a track is and what it is made of: the words that FLV, fragmented MP4 and the packager share.

export interface VideoTrackConfig {
  kind: 'video'
  /** Ticks per second: 90 000. */
  timescale: number
  /** As in RFC 6381. */
  codec: string
  width: number
  height: number
  /** AVCDecoderConfigurationRecord (ISO/IEC 14496-15 §5.3.3.1). */
  config: Buffer
}

export interface AudioTrackConfig {
  kind: 'audio'
  /** Ticks per second: the sample rate. */
  timescale: number
  codec: string
  sampleRate: number
  channels: number
  /** AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1). */
  config: Buffer
}

export type TrackConfig = VideoTrackConfig | AudioTrackConfig

/** One access unit. Times are ticks of its track since the broadcast's time zero. */
export interface MediaSample {
  dts: number
  /** Presentation time minus decode time; may be negative. */
  cts: number
  /** Ticks; 0 while only the sample that follows can tell. */
  duration: number
  isKeyframe: boolean
  /** Length-prefixed NAL units, or one raw AAC frame. */
  data: Buffer
}
