// Numbers for people: rates, sizes, durations and times, in the reader's language. Number and unit stay on one line.
import type { Language } from './translate.ts'

const space = '\u00a0'
const steps = ['', 'k', 'M', 'G', 'T'] as const

function scale(value: number, base: number): { value: number; step: (typeof steps)[number] } {
  let index = 0
  let scaled = value
  while (Math.abs(scaled) >= base && index < steps.length - 1) {
    scaled /= base
    index++
  }
  return { value: scaled, step: steps[index]! }
}

/** Three figures are what an eye can compare: 2.51, 25.1, 251. */
function threeFigures(value: number, language: Language): string {
  const digits = Math.abs(value) >= 100 || value === 0 ? 0 : Math.abs(value) >= 10 ? 1 : 2
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(value)
}

export function formatBitrate(bitsPerSecond: number, language: Language): string {
  const { value, step } = scale(bitsPerSecond, 1000)
  return `${threeFigures(value, language)}${space}${step}b/s`
}

export function formatBytes(bytes: number, language: Language): string {
  const { value, step } = scale(bytes, 1024)
  return `${threeFigures(value, language)}${space}${step === '' ? 'B' : `${step.toUpperCase()}iB`}`
}

export function formatSeconds(seconds: number, language: Language): string {
  const digits = seconds < 10 ? 1 : 0
  const number = new Intl.NumberFormat(language, {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  })
  return `${number.format(seconds)}${space}s`
}

/** Clock face of a duration: 0:07, 12:31, 1:02:03. */
export function formatDuration(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60]
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`
}

export function formatPercent(share: number, language: Language): string {
  return new Intl.NumberFormat(language, {
    style: 'percent',
    maximumFractionDigits: share !== 0 && Math.abs(share) < 0.1 ? 1 : 0,
  }).format(share)
}

export function formatMoment(at: string | number, language: Language): string {
  const date = new Date(at)
  if (Number.isNaN(date.getTime())) return ''
  return new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' }).format(date)
}

/** What players and ladders call a picture size: its height, "720p". */
export function formatHeight(height: number): string {
  return `${height}p`
}
