// Which sounds a relay sends again behind the keyframe that it begins anew with. Encoders send some before a keyframe
// that are heard after it.

/** A step back of the publisher's clock by more is a new start of it, not the order of audio and video. */
export const reorderMs = 1_000

/**
 * Those from the first on that is not before the keyframe, by its time; `sounds` came since the keyframe before, and
 * with that one. Times are modulo 2^32.
 */
export function earlySounds<Sound extends { ms: number }>(
  sounds: readonly Sound[],
  keyframeMs: number,
): readonly Sound[] {
  const first = sounds.findIndex(({ ms }) => {
    const aheadMs = (ms - keyframeMs) | 0
    return aheadMs >= 0 && aheadMs < reorderMs
  })
  return first < 0 ? [] : sounds.slice(first)
}
