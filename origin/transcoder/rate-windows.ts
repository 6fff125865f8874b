// The bitrate of a picture over the last minute or so, in windows of whole groups of pictures, and what that says of
// the encoder's rate control. A window begins at a keyframe, so that one large picture does not make a peak.

export type RateControl = 'CBR' | 'VBR' | 'ABR' | 'CRF'

const minWindowMs = 2_000
/** Keyframes that lie further apart end no window in time. */
const maxWindowMs = 6_000
const keptWindows = 30
const windowsToJudge = 5
/**
 * Measured with x264: a constant bitrate with a buffer of a second peaks at 1.3 (with filler) to 1.5 times its mean over
 * two seconds of changing scenes, every other rate control at 1.75 times and more.
 */
const steadyPeak = 1.6

export class RateWindows {
  readonly #rates: number[] = []
  #startMs: number | undefined
  #bytes = 0
  /** An encoder that has just begun is not in its stride. */
  #isFirst = true

  add(timestampMs: number, sizeBytes: number, isKeyframe: boolean): void {
    this.#startMs ??= timestampMs
    const elapsedMs = timestampMs - this.#startMs
    if (elapsedMs >= maxWindowMs || (isKeyframe && elapsedMs >= minWindowMs)) {
      if (!this.#isFirst) this.#rates.push((this.#bytes * 8_000) / elapsedMs)
      if (this.#rates.length > keptWindows) this.#rates.shift()
      this.#isFirst = false
      this.#startMs = timestampMs
      this.#bytes = 0
    }
    this.#bytes += sizeBytes
  }

  /** The windows before and after a break must not become one. */
  breakOff(): void {
    this.#startMs = undefined
    this.#bytes = 0
  }

  /** Bits per second; undefined while there is too little to say. */
  get spread(): { mean: number; peak: number } | undefined {
    if (this.#rates.length < windowsToJudge) return undefined
    return { mean: meanOf(this.#rates), peak: Math.max(...this.#rates) }
  }

  /**
   * A guess: a still picture looks steady whatever the encoder is set to, and what varies looks the same whether a
   * bound, a mean or nothing is held to.
   */
  get rateControl(): 'CBR' | 'VBR' | undefined {
    const { spread } = this
    return spread && (isSteady(spread) ? 'CBR' : 'VBR')
  }
}

export function isSteady({ mean, peak }: { mean: number; peak: number }): boolean {
  return peak <= steadyPeak * mean
}

function meanOf(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length
}

/** What x264 says of itself, by its own settings. */
export function rateControlOf(settings: ReadonlyMap<string, string>): RateControl | undefined {
  const isCapped = settings.has('vbv_maxrate')
  switch (settings.get('rc')) {
    case 'cbr':
      return 'CBR'
    case 'abr':
    case '2pass':
      return isCapped ? 'VBR' : 'ABR'
    case 'crf':
    case 'cqp':
      return 'CRF'
    default:
      return undefined
  }
}
