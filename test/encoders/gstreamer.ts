// GStreamer pipelines that publish a test picture with sound.
import type { Requirement } from './requirements.ts'

export type RtmpElement = 'rtmp2sink' | 'rtmpsink'

/** What the pipelines need beside the sink. */
export const gstreamerElements: Requirement[] = [
  { gstreamer: 'flvmux', package: 'gstreamer1.0-plugins-good' },
  { gstreamer: 'h264parse', package: 'gstreamer1.0-plugins-bad' },
  { gstreamer: 'x264enc', package: 'gstreamer1.0-plugins-ugly' },
  { gstreamer: 'avenc_aac', package: 'gstreamer1.0-libav' },
]

export function gstreamerCommand(element: RtmpElement, server: string, key: string): string[] {
  // librtmp takes its options behind the URL, parted by blanks.
  const location = element === 'rtmpsink' ? `${server}/${key} live=1` : `${server}/${key}`
  return [
    ...['gst-launch-1.0', '-e'],
    ...['flvmux', 'name=mux', 'streamable=true', '!', element, `location=${location}`],
    ...[
      'videotestsrc',
      'is-live=true',
      '!',
      'video/x-raw,width=640,height=360,framerate=30/1',
      '!',
    ],
    ...['x264enc', 'tune=zerolatency', 'speed-preset=ultrafast', 'key-int-max=60', 'bitrate=800'],
    ...['!', 'video/x-h264,profile=main', '!', 'h264parse', '!', 'queue', '!', 'mux.'],
    ...['audiotestsrc', 'is-live=true', '!', 'audio/x-raw,rate=48000,channels=2', '!'],
    ...[
      'audioconvert',
      '!',
      'avenc_aac',
      'bitrate=96000',
      '!',
      'aacparse',
      '!',
      'queue',
      '!',
      'mux.',
    ],
  ]
}
