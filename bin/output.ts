// How commands write: facts to standard output as a table or as JSON, colour only where a terminal takes it.
import { styleText } from 'node:util'

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`)
}

export function printNote(text: string): void {
  process.stderr.write(`${text}\n`)
}

/** Columns as wide as their content; absent values are a dash. */
export function tableText(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [head, ...rows.map((row) => row.map((value) => String(value ?? '-')))]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  return cells
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

export type Verdict = 'OK' | 'WARN' | 'FAIL'

const colors = { OK: 'green', WARN: 'yellow', FAIL: 'red' } as const

/** Padded to four columns; plain where NO_COLOR is set or the output is no terminal. */
export function verdictText(verdict: Verdict): string {
  return styleText(colors[verdict], verdict.padEnd(4), { stream: process.stdout })
}
