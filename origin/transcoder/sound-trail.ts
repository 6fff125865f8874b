// Remembers the sounds that a relay would send again behind the next keyframe, were that one to be entered with:
// encoders send some before a keyframe that are heard after it.
import { earlySounds, reorderMs } from '../../common/relay/early-sounds.ts'

interface PastSound {
  /** As the publisher has it. */
  ms: number
  isOfRun: boolean
  /** Highest time of sound before it. */
  lastMs: number | undefined
}

export interface EarlySounds {
  /** Those come first that the run has not had. */
  others: number
  /** How many of the run come again, and the highest time of sound before them. */
  again: number
  lastMs: number | undefined
}

/** More than come within the time that the trail spans, of any codec; a clock that stands still must not fill memory. */
const mostSounds = 256

export class SoundTrail {
  #sounds: PastSound[] = []

  /** What came before is none of the run's. */
  beginRun(): void {
    for (const sound of this.#sounds) sound.isOfRun = false
  }

  /** The run does without it. */
  pass(ms: number): void {
    this.#add({ ms, isOfRun: false, lastMs: undefined })
  }

  /** The run has it; `lastMs`: highest time of sound that it had before. */
  take(ms: number, lastMs: number | undefined): void {
    this.#add({ ms, isOfRun: true, lastMs })
  }

  /** `lastMs`: highest time of sound that the run has had. */
  enter(keyframeMs: number, lastMs: number | undefined): EarlySounds {
    this.#sounds = [...earlySounds(this.#sounds, keyframeMs)]
    const first = this.#sounds.findIndex((it) => it.isOfRun)
    const others = first < 0 ? this.#sounds.length : first
    const again = this.#sounds.length - others
    return { others, again, lastMs: again > 0 ? this.#sounds[first]!.lastMs : lastMs }
  }

  #add(sound: PastSound): void {
    this.#sounds.push(sound)
    const oldest = this.#sounds[0]!
    const isFull = this.#sounds.length > mostSounds
    if (isFull || Math.abs((sound.ms - oldest.ms) | 0) > 2 * reorderMs) this.#sounds.shift()
  }
}
