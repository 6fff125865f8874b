// What ffprobe says about a file or URL: how long it is and what is in it. The only user of fluent-ffmpeg.
import ffmpeg from 'fluent-ffmpeg'

export interface ProbedStream {
  kind: 'video' | 'audio' | 'other'
  codec: string
  width: number | undefined
  height: number | undefined
}

export interface ProbedMedia {
  durationSeconds: number | undefined
  streams: ProbedStream[]
}

/** `source` is a path or a URL of our own; rejects with what ffprobe says. */
export async function probeMedia(source: string, ffprobe?: string): Promise<ProbedMedia> {
  const data = await new Promise<ffmpeg.FfprobeData>((resolve, reject) => {
    const command = ffmpeg(source)
    if (ffprobe !== undefined) command.setFfprobePath(ffprobe)
    command.ffprobe((err: Error | null, probed) => (err ? reject(err) : resolve(probed)))
  })
  const seconds = Number(data.format.duration)
  return {
    durationSeconds: Number.isFinite(seconds) ? seconds : undefined,
    streams: data.streams.map((it) => ({
      kind: it.codec_type === 'video' || it.codec_type === 'audio' ? it.codec_type : 'other',
      codec: it.codec_name ?? 'unknown',
      width: it.width,
      height: it.height,
    })),
  }
}
