// What is wrong with a config file, all at once, in the words of the person who wrote the file.

export interface ConfigProblem {
  file: string
  /** 1-based; 0 where the value does not come from the file. */
  line: number
  column: number
  /** As in `tls.port` or `tls.certificates[0].certFile`; empty for the whole file. */
  path: string
  message: string
  /** Environment variable that set the value, if one did. */
  variable?: string
  /** The line of the file and how many characters to mark, where there is something to show. */
  excerpt?: { text: string; length: number }
}

/** EX_CONFIG of sysexits.h: a supervisor must not restart until somebody has edited the file. */
export const configExitCode = 78

/** Its `message` is the whole report for a person, several lines long. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly exitCode = configExitCode
  readonly problems: readonly ConfigProblem[]

  constructor(problems: readonly ConfigProblem[]) {
    super(problems.map(formatProblem).join('\n'))
    this.problems = problems
    // The report is complete; a stack would only bury it.
    this.stack = `${this.name}: ${this.message}`
  }
}

/** `file:line:column: path: message`, then the line with a caret below the spot. */
export function formatProblem(problem: ConfigProblem): string {
  const place = problem.variable
    ? `environment variable ${problem.variable}`
    : problem.line > 0
      ? `${problem.file}:${problem.line}:${problem.column}`
      : problem.file
  const path = problem.path ? `${problem.path}: ` : ''
  const head = `${place}: ${path}${problem.message}`
  if (!problem.excerpt) return head
  const number = String(problem.line).padStart(5)
  const text = problem.excerpt.text.replaceAll('\t', ' ')
  const marks = '^'.repeat(
    Math.max(1, Math.min(problem.excerpt.length, text.length - problem.column + 1)),
  )
  return `${head}\n${number} | ${text}\n${' '.repeat(5)} | ${' '.repeat(problem.column - 1)}${marks}`
}

export type Path = readonly (string | number)[]

/** `tls.certificates[0].certFile` */
export function pathText(path: Path): string {
  let text = ''
  for (const key of path) {
    if (typeof key === 'number') text += `[${key}]`
    else text += text === '' ? key : `.${key}`
  }
  return text
}

/** Names whose values never stand in a message or an excerpt. */
export function isSecretPath(path: Path): boolean {
  return /secret$|token$|password$/i.test(String(path.at(-1)))
}

/** Why a file could not be read, without Node's repetition of its path. */
export function readFailure(err: unknown): string {
  const { code, message } = err as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'no such file'
  if (code === 'EACCES') return 'permission denied'
  if (code === 'EISDIR') return 'it is a folder'
  return message
}
