// Did-you-mean: the known name that is nearest to a mistyped one.

/** The nearest of `known`, if it is near enough that a typo explains the difference. */
export function suggestion(typed: string, known: Iterable<string>): string | undefined {
  const wanted = plain(typed)
  let best: string | undefined
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1
  for (const name of known) {
    const distance = editDistance(wanted, plain(name))
    if (distance < bestDistance) {
      best = name
      bestDistance = distance
    }
  }
  return best
}

// max_streams, MaxStreams and max-streams are all maxStreams.
function plain(name: string): string {
  return name.replaceAll(/[-_]/g, '').toLowerCase()
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = []
  let last = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1
      let value = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + cost)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        value = Math.min(value, beforeLast[j - 2]! + 1)
      }
      row.push(value)
    }
    beforeLast = last
    last = row
  }
  return last[b.length]!
}
