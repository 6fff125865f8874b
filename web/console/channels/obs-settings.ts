// What to enter into OBS, by the size of the picture and what is in it.
//
// The keyframe interval is 2 s because segments are cut at keyframes: above 4 s the first picture comes late.
// CBR keeps the road's load even; pictures that move much need more bits.

export const pictures = ['480p', '720p', '1080p'] as const
export type Picture = (typeof pictures)[number]
export const kinds = ['show', 'game'] as const
export type Kind = (typeof kinds)[number]

const kilobitsPerSecond: Record<Picture, Record<Kind, number>> = {
  '480p': { show: 1_200, game: 1_800 },
  '720p': { show: 2_500, game: 4_000 },
  '1080p': { show: 4_500, game: 6_000 },
}
const sizes: Record<Picture, string> = {
  '480p': '852x480',
  '720p': '1280x720',
  '1080p': '1920x1080',
}

export interface ObsSettings {
  resolution: string
  framesPerSecond: number
  encoder: 'x264'
  rateControl: 'CBR'
  videoKilobitsPerSecond: number
  keyframeIntervalSeconds: number
  preset: 'veryfast'
  profile: 'high'
  audioKilobitsPerSecond: number
}

export function obsSettings(picture: Picture, kind: Kind): ObsSettings {
  return {
    resolution: sizes[picture],
    framesPerSecond: kind === 'game' ? 60 : 30,
    encoder: 'x264',
    rateControl: 'CBR',
    videoKilobitsPerSecond: kilobitsPerSecond[picture][kind],
    keyframeIntervalSeconds: 2,
    preset: 'veryfast',
    profile: 'high',
    audioKilobitsPerSecond: 160,
  }
}
