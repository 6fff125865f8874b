// One YAML file as values that remember where in the file they stand.
import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseAllDocuments,
  type Scalar,
  visit,
} from 'yaml'
import { messageOf } from '../common/errors.ts'
import { type ConfigProblem, isSecretPath, type Path, pathText } from './config-error.ts'

interface Span {
  start: number
  end: number
}

export class SourceFile {
  readonly #file: string
  readonly #lines: string[]
  readonly #counter = new LineCounter()
  readonly #document: Document.Parsed | undefined
  /** False when the text is no YAML at all: there are no values to look at. */
  readonly readable: boolean
  /** Syntax errors and duplicate keys. */
  readonly problems: ConfigProblem[] = []

  constructor(file: string, text: string) {
    this.#file = file
    this.#lines = text.split(/\r?\n/)
    const options = { lineCounter: this.#counter, prettyErrors: false, uniqueKeys: true } as const
    const documents = parseAllDocuments(text, options) as Document.Parsed[]
    this.#document = documents[0]
    const errors = documents.flatMap((document) => document.errors)
    // After one break in the syntax the parser guesses: the errors that follow it mislead.
    const broken = errors.find((error) => error.code !== 'DUPLICATE_KEY')
    this.readable = broken === undefined && documents.length <= 1
    for (const error of broken ? [broken] : errors) {
      const [start, end] = error.pos
      const message = broken
        ? `not valid YAML: ${error.message}`
        : 'this key stands twice in its section'
      this.problems.push(this.#problem([], message, { start, end }))
    }
    if (!broken && documents.length > 1) {
      const start = documents[1]!.range[0]
      this.problems.push(
        this.#problem([], 'a second document; expected one', { start, end: start }),
      )
    }
  }

  /** The values, or what makes them impossible to build: an alias without an anchor, too many aliases. */
  toValue(): { value: unknown } | { problem: ConfigProblem } {
    if (!this.#document?.contents) return { value: {} }
    try {
      return { value: this.#document.toJS() }
    } catch (err) {
      const message = `not valid YAML: ${messageOf(err)}`
      return { problem: this.#problem([], message, this.#suspectAlias()) }
    }
  }

  /** The first alias without an anchor, else the first alias: they are what cannot be built. */
  #suspectAlias(): Span | undefined {
    const document = this.#document
    if (!document) return undefined
    const aliases: Alias[] = []
    visit(document, { Alias: (_key, node) => void aliases.push(node) })
    const suspect = aliases.find((alias) => !alias.resolve(document)) ?? aliases[0]
    return suspect?.range ? { start: suspect.range[0], end: suspect.range[1] } : undefined
  }

  /** Calls `replace` with each text that `pattern` finds something in; what it answers takes its place. */
  replaceTexts(pattern: RegExp, replace: (text: string, path: Path) => unknown) {
    if (!this.#document) return
    visit(this.#document, {
      Scalar(key, node, ancestors) {
        if (key === 'key' || typeof node.value !== 'string' || !pattern.test(node.value)) return
        const path = pathOf(key, node, ancestors)
        node.value = replace(node.value, path)
      },
    })
  }

  /** A problem with the value at `path`, or, where there is none, with the section that lacks it. */
  problemAt(path: Path, message: string): ConfigProblem {
    const found = this.#find(path)
    return this.#problem(path, message, found)
  }

  /** A problem with the key itself. */
  problemAtKey(path: Path, message: string): ConfigProblem {
    const section = this.#node(path.slice(0, -1))
    const pair = isMap(section) ? findPair(section.items, path.at(-1)!) : undefined
    if (!pair) return this.#problem(path, message, this.#find(path))
    const problem = this.#problem(path, message, spanOf(pair.key))
    if (problem.excerpt) {
      // The value of a mistyped key may be a secret: only the key is shown.
      const { text, length } = problem.excerpt
      problem.excerpt = { text: text.slice(0, problem.column - 1 + length), length }
    }
    return problem
  }

  #problem(path: Path, message: string, span: Span | undefined): ConfigProblem {
    const problem = { file: this.#file, line: 0, column: 0, path: pathText(path), message }
    if (!span) return problem
    const { line, col } = this.#counter.linePos(span.start)
    const text = this.#lines[line - 1]
    if (line === 0 || text === undefined) return problem
    const place = { ...problem, line, column: col }
    // An excerpt would print the secret that the message is careful not to print.
    const secretLine = isSecretPath(path) || /(secret|token|password)\s*:/i.test(text)
    if (secretLine || text.trim() === '') return place
    return { ...place, excerpt: { text, length: span.end - span.start } }
  }

  #find(path: Path): Span | undefined {
    for (let length = path.length; length > 0; length--) {
      const parent = this.#node(path.slice(0, length - 1))
      const key = path[length - 1]!
      if (isMap(parent)) {
        const pair = findPair(parent.items, key)
        // For a whole section, or a setting that it lacks, its key is the spot to look at.
        if (pair) {
          return spanOf(length === path.length && isScalar(pair.value) ? pair.value : pair.key)
        }
      } else if (isSeq(parent) && typeof key === 'number' && parent.items[key]) {
        return spanOf(parent.items[key])
      }
    }
    return this.#document?.contents
      ? { start: this.#document.contents.range[0], end: 0 }
      : undefined
  }

  #node(path: Path): unknown {
    let node: unknown = this.#document?.contents
    for (const key of path) {
      node = this.#resolved(node)
      if (isMap(node)) node = findPair(node.items, key)?.value
      else if (isSeq(node) && typeof key === 'number') node = node.items[key]
      else return undefined
    }
    return this.#resolved(node)
  }

  #resolved(node: unknown): unknown {
    return isAlias(node) && this.#document ? node.resolve(this.#document) : node
  }
}

function findPair(items: Pair[], key: string | number): Pair | undefined {
  return items.find((pair) => isScalar(pair.key) && String(pair.key.value) === String(key))
}

function spanOf(node: unknown): Span | undefined {
  const range = (node as Node | null)?.range
  return range ? { start: range[0], end: range[1] } : undefined
}

function pathOf(key: number | 'value' | null, node: unknown, ancestors: readonly unknown[]): Path {
  const path: (string | number)[] = []
  let below: unknown = node
  for (const ancestor of ancestors.toReversed()) {
    if (isSeq(ancestor)) path.unshift(ancestor.items.indexOf(below))
    else if ((ancestor as Pair).key && isScalar((ancestor as Pair).key)) {
      path.unshift(String(((ancestor as Pair).key as Scalar).value))
    }
    below = ancestor
  }
  return key === null ? [] : path
}
