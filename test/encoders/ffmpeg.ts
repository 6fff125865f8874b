// ffmpeg as an encoder that checks certificates, publishing a test picture with sound.
export function ffmpegCommand(server: string, key: string): string[] {
  return [
    ...['ffmpeg', '-hide_banner', '-nostdin', '-re', '-f', 'lavfi'],
    ...[
      '-i',
      'testsrc2=size=640x360:rate=30',
      '-re',
      '-f',
      'lavfi',
      '-i',
      'sine=sample_rate=48000',
    ],
    ...[
      '-c:v',
      'libx264',
      '-preset',
      'ultrafast',
      '-pix_fmt',
      'yuv420p',
      '-g',
      '60',
      '-b:v',
      '800k',
    ],
    ...['-c:a', 'aac', '-b:a', '96k', '-ac', '2'],
    ...['-tls_verify', '1', '-f', 'flv', `${server}/${key}`],
  ]
}
