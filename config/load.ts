// From a file to a config: read, override from the environment, validate, resolve secrets and paths, freeze.
// Everything that is wrong is told at once.
import { readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { messageOf } from '../common/errors.ts'
import {
  ConfigError,
  type ConfigProblem,
  type Path,
  pathText,
  readFailure,
} from './config-error.ts'
import {
  type Environment,
  overridesOf,
  processEnvironment,
  put,
  typedValue,
} from './environment.ts'
import { type Ladder, readLadder } from './ladder.ts'
import { collide, listenersOf } from './listeners.ts'
import { gotText, issueText, unknownKeyText } from './problem-text.ts'
import type {
  Config,
  ConfigRole,
  CoordinatorConfig,
  EdgeConfig,
  GatewayConfig,
  TranscoderConfig,
} from './schema.ts'
import { at, roleSchemas, roles, type SettingSchema, settingTree } from './setting-tree.ts'
import { SourceFile } from './source-file.ts'
import { suggestion } from './suggestion.ts'

export { ConfigError, configExitCode } from './config-error.ts'

/** The config as roles get it: the cluster secret is there, paths are absolute, URLs end without a slash. */
type Resolved<C extends { cluster: { secret?: string | undefined } }> = Omit<C, 'cluster'> & {
  cluster: Omit<C['cluster'], 'secret'> & { secret: string }
}
export type ResolvedEdgeConfig = Resolved<EdgeConfig>
export type ResolvedGatewayConfig = Resolved<GatewayConfig>
export type ResolvedTranscoderConfig = Omit<Resolved<TranscoderConfig>, 'ladder'> & {
  ladder: Ladder
}
/** `adminToken` is absent when `adminTokenFile` (always set) does not exist yet: the first start makes it. */
export type ResolvedCoordinatorConfig = Resolved<CoordinatorConfig> & { adminTokenFile: string }

export interface ResolvedConfigs {
  edge: ResolvedEdgeConfig
  gateway: ResolvedGatewayConfig
  transcoder: ResolvedTranscoderConfig
  coordinator: ResolvedCoordinatorConfig
}
export type ResolvedConfig = ResolvedConfigs[ConfigRole]

export interface LoadOptions<R extends ConfigRole> {
  /** The role that is being started; a file for another one is an error. */
  role?: R
  env?: Environment
  /** Told about what is allowed but unwise; default: a line on standard error. */
  warn?: (warning: string) => void
}

/** Throws a `ConfigError` whose message is the report for the person who wrote the file. */
export function loadConfig<R extends ConfigRole = ConfigRole>(
  file: string,
  options: LoadOptions<R> = {},
): ResolvedConfigs[R] {
  const warn = options.warn ?? ((warning) => void process.stderr.write(`warning: ${warning}\n`))
  const environment = options.env ?? processEnvironment()
  const source = new SourceFile(file, readConfig(file))
  if (!source.readable) throw new ConfigError(source.problems)
  return new Loader(file, source, environment, warn).load(options.role) as ResolvedConfigs[R]
}

function readConfig(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (err) {
    const problem = { file, line: 0, column: 0, path: '' }
    throw new ConfigError([{ ...problem, message: `cannot be read: ${readFailure(err)}` }])
  }
}

class Loader {
  readonly #file: string
  readonly #source: SourceFile
  readonly #environment: Environment
  readonly #warn: (warning: string) => void
  readonly #problems: ConfigProblem[]
  /** Paths whose value came from elsewhere: the variable's name, or undefined for `${…}` in the file. */
  readonly #origins = new Map<string, string | undefined>()
  /** Paths whose `${…}` could not be had: told already, so their value is not judged. */
  readonly #unread = new Set<string>()

  constructor(
    file: string,
    source: SourceFile,
    environment: Environment,
    warn: (warning: string) => void,
  ) {
    this.#file = file
    this.#source = source
    this.#environment = environment
    this.#warn = warn
    this.#problems = [...source.problems]
  }

  load(wantedRole: ConfigRole | undefined): ResolvedConfig {
    const value = this.#value()
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      this.#report([], `got ${gotText(value)}, expected settings such as "role: edge"`)
      throw new ConfigError(this.#problems)
    }
    const role = this.#roleOf(value as Record<string, unknown>, wantedRole)
    const tree = settingTree(role)
    this.#interpolate(tree)
    const settings = { ...(this.#value() as Record<string, unknown>), role }
    dropEmptySections(settings, tree)
    this.#override(settings, role, tree)
    const parsed = roleSchemas[role].safeParse(settings)
    if (parsed.success) {
      const config = this.#resolve(parsed.data, tree)
      if (this.#problems.length === 0) return deepFreeze(config)
    } else {
      for (const issue of parsed.error.issues) this.#reportIssue(issue, settings, tree)
    }
    throw new ConfigError(this.#problems.toSorted((a, b) => a.line - b.line || a.column - b.column))
  }

  #value(): unknown {
    const answer = this.#source.toValue()
    if ('value' in answer) return answer.value
    throw new ConfigError([...this.#problems, answer.problem])
  }

  #roleOf(settings: Record<string, unknown>, wanted: ConfigRole | undefined): ConfigRole {
    const variable = Object.keys(this.#environment).find((name) => /^NEARCAST__ROLE$/i.test(name))
    if (variable) this.#origins.set('role', variable)
    const got = variable ? this.#environment[variable] : settings.role
    const known = roles.find((role) => role === got)
    if (known && (wanted === undefined || known === wanted)) return known
    const expected = wanted ?? `one of ${roles.join(', ')}`
    const near = typeof got === 'string' && !known ? suggestion(got, roles) : undefined
    const hint = known
      ? `; this is the file of another role: nearcast ${known} --config ${this.#file}`
      : near
        ? `; did you mean "${near}"?`
        : ''
    this.#report(['role'], `got ${gotText(got)}, expected ${expected}${hint}`)
    throw new ConfigError(this.#problems)
  }

  /** `${env:NAME}` and `${file:/path}` inside the file's texts; `$${` stands for `${`. */
  #interpolate(tree: SettingSchema): void {
    this.#source.replaceTexts(/\$\{/, (text, where) => {
      let failed = false
      const result = text.replaceAll(/\$?\$\{([^}]*)\}/g, (whole, inside: string) => {
        if (whole.startsWith('$$')) return whole.slice(1)
        const answer = this.#lookUp(inside)
        if ('value' in answer) return answer.value
        failed = true
        this.#report(where, answer.problem)
        return whole
      })
      if (failed) {
        this.#unread.add(pathText(where))
        return text
      }
      this.#origins.set(pathText(where), undefined)
      return typedValue(result, at(tree, where))
    })
  }

  #lookUp(reference: string): { value: string } | { problem: string } {
    const [, kind, name] = /^(env|file):(.+)$/.exec(reference) ?? []
    if (!kind || !name) {
      return { problem: `got "\${${reference}}", expected \${env:NAME} or \${file:/path}` }
    }
    if (kind === 'env') {
      const value = this.#environment[name]
      return value === undefined
        ? { problem: `environment variable ${name} is not set` }
        : { value }
    }
    return this.#readText(path.resolve(path.dirname(this.#file), name))
  }

  #override(settings: Record<string, unknown>, role: ConfigRole, tree: SettingSchema): void {
    for (const override of overridesOf(this.#environment, tree)) {
      const { variable } = override
      if ('path' in override) {
        put(settings, override.path, override.value)
        this.#origins.set(pathText(override.path), variable)
        continue
      }
      // One environment may be shared by the nodes of a machine, so a setting of another role is no error.
      const others = override.unknown
        ? roles.filter(
            (other) =>
              other !== role && 'path' in overridesOf({ [variable]: '' }, settingTree(other))[0]!,
          )
        : []
      if (others.length > 0) {
        this.#warn(`${variable} is a setting of ${others.join(', ')}, not of ${role}; ignored`)
      } else {
        this.#problems.push({ ...this.#nowhere(), variable, message: override.problem })
      }
    }
  }

  #reportIssue(
    issue: Parameters<typeof issueText>[0],
    settings: Record<string, unknown>,
    tree: SettingSchema,
  ): void {
    const where = issue.path as Path
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        const keyPath = [...where, key]
        this.#problems.push(this.#source.problemAtKey(keyPath, unknownKeyText(key, where, tree)))
      }
      return
    }
    const text = pathText(where)
    if (this.#unread.has(text)) return
    const interpolated = this.#origins.has(text) && this.#origins.get(text) === undefined
    this.#report(where, issueText(issue, valueAt(settings, where), tree, !interpolated))
  }

  #report(where: Path, message: string): void {
    const variable = this.#origins.get(pathText(where))
    this.#problems.push(
      variable
        ? { ...this.#nowhere(), path: pathText(where), variable, message }
        : this.#source.problemAt(where, message),
    )
  }

  #nowhere() {
    return { file: this.#file, line: 0, column: 0, path: '' }
  }

  #ladder(nameOrPath: string): Ladder | undefined {
    try {
      return readLadder(nameOrPath)
    } catch (err) {
      this.#report(['ladder'], messageOf(err))
      return undefined
    }
  }

  #resolve<C extends Config>(config: C, tree: SettingSchema): ResolvedConfig {
    const resolved = this.#absolute(config, tree) as C
    resolved.cluster.secret = this.#secret(['cluster'], resolved.cluster, 'secret', 32)
    resolved.admin.token = this.#secret(['admin'], resolved.admin, 'token', 16)
    if (resolved.role === 'coordinator') {
      const isDefault = resolved.adminTokenFile === undefined
      resolved.adminTokenFile ??= path.join(resolved.dataDir, 'admin-token')
      // A token file that is not there yet is made by the first start.
      if (resolved.adminToken === undefined && exists(resolved.adminTokenFile)) {
        resolved.adminToken = this.#secret([], resolved, 'adminToken', 16, isDefault)
      }
    }
    this.#checkPorts(resolved)
    if (resolved.role === 'transcoder') {
      return { ...resolved, ladder: this.#ladder(resolved.ladder) } as ResolvedConfig
    }
    return resolved as ResolvedConfig
  }

  /** Paths from the folder of the file, URLs without a slash at the end. */
  #absolute(value: unknown, schema: SettingSchema | undefined): unknown {
    if (typeof value === 'string') {
      const isPath =
        schema?.format === 'path' || (schema?.format === 'name-or-path' && value.includes('/'))
      if (isPath) return path.resolve(path.dirname(this.#file), value)
      return schema?.format === 'uri' ? value.replace(/\/+$/, '') : value
    }
    if (Array.isArray(value)) return value.map((entry) => this.#absolute(entry, schema?.items))
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, entry]) => [
        key,
        this.#absolute(entry, schema?.properties?.[key]),
      ]),
    )
  }

  /** The value of `name`, or the content of the file that `nameFile` names. */
  #secret<Name extends string>(
    section: Path,
    values: { [key in Name | `${Name}File`]?: string | undefined },
    name: Name,
    minimum: number,
    quiet = false,
  ): string | undefined {
    const file = values[`${name}File`]
    if (values[name] !== undefined || file === undefined) return values[name]
    const where = [...section, `${name}File`]
    const answer = this.#readText(file)
    if ('problem' in answer) {
      this.#report(where, answer.problem)
      return undefined
    }
    if (answer.value.length < minimum) {
      const got = `${file} with ${answer.value.length} characters`
      this.#report(where, `got ${got}, expected at least ${minimum}`)
      return undefined
    }
    const mode = statSync(file).mode & 0o777
    if (mode & 0o077 && !quiet) {
      this.#warn(`${file} can be read by others (mode ${mode.toString(8)}); chmod 600 ${file}`)
    }
    return answer.value
  }

  #readText(file: string): { value: string } | { problem: string } {
    try {
      return { value: readFileSync(file, 'utf8').trim() }
    } catch (err) {
      return { problem: `cannot read the file: ${readFailure(err)}` }
    }
  }

  #checkPorts(config: Config): void {
    const listeners = listenersOf(config)
    for (const [index, one] of listeners.entries()) {
      const other = listeners.slice(0, index).find((before) => collide(before, one))
      if (!other) continue
      this.#report(
        [one.section, 'port'],
        `got ${one.port}, expected another port: ${other.section}.port has it already`,
      )
    }
  }
}

/** `http:` with nothing but comments below it is null in YAML; people mean a section with its defaults. */
function dropEmptySections(settings: Record<string, unknown>, tree: SettingSchema): void {
  for (const [key, value] of Object.entries(settings)) {
    const schema = tree.properties?.[key]
    if (schema?.type !== 'object') continue
    if (value === null) delete settings[key]
    else if (typeof value === 'object') dropEmptySections(value as Record<string, unknown>, schema)
  }
}

function exists(file: string): boolean {
  return statSync(file, { throwIfNoEntry: false }) !== undefined
}

function valueAt(root: unknown, where: Path): unknown {
  let node = root
  for (const key of where) node = (node as Record<string | number, unknown> | undefined)?.[key]
  return node
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const entry of Object.values(value)) deepFreeze(entry)
  }
  return value
}
