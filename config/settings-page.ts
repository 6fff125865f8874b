// docs/settings.md: every setting of every role, from the same schema as everything else.
import {
  alternatives,
  expectation,
  roles,
  type SettingSchema,
  settingTree,
  walkSettings,
} from './setting-tree.ts'

const intro = `# Settings

<!-- Generated from config/schema.ts by scripts/generate-config-docs.ts: npm run check fails when it is stale. -->

One YAML file per node. \`npx nearcast config init ROLE\` prints a commented one, \`npx nearcast check --config FILE\`
says everything that is wrong with a file, with line and column.

- Every setting can come from the environment: \`NEARCAST__TLS__PORT=8443\` sets \`tls.port\`. Two underscores part
  the levels; case and single underscores do not count; a number names an entry of a list
  (\`NEARCAST__TLS__LOCAL_CA__NAMES__0\`). A name that ends in \`_FILE\` takes the value from that file. The
  environment wins over the file.
- Inside the file \`\${env:NAME}\` and \`\${file:/path}\` are replaced; \`$\${\` is a plain \`\${\`.
- Relative paths are taken from the folder of the file. Durations and sizes carry their unit in the name.
- A file that holds a secret should be readable by its owner alone (\`chmod 600\`).
- The admin listener belongs on loopback. Bound to another address it shows metrics and readiness to whoever
  reaches it, so keep it inside a private network; reload, drain and purge then need \`admin.tokenFile\`, and are
  refused without it.
`

export function settingsPage(): string {
  return `${[intro, ...roles.map(rolePart)].join('\n')}`
}

function rolePart(role: (typeof roles)[number]): string {
  const tree = settingTree(role)
  const rows = [...walkSettings(tree)]
    .filter(({ path }) => path.join('.') !== 'role')
    .map(({ path, schema }) => row(path, schema, isRequired(tree, path)))
  return `## ${role}

\`role: ${role}\`

| Setting | Takes | Default | What |
|---|---|---|---|
${rows.join('\n')}
`
}

function row(path: readonly string[], schema: SettingSchema, required: boolean): string {
  const name = path.join('.').replaceAll('.[]', '[]')
  const isSection = schema.type === 'object'
  const takes = isSection ? 'section' : expectation(schema)
  const fallback = isSection ? '' : required ? '**required**' : code(schema.default)
  return `| \`${name}\` | ${cell(takes)} | ${fallback} | ${cell(schema.description ?? '')} |`
}

function isRequired(tree: SettingSchema, path: readonly string[]): boolean {
  let node: SettingSchema | undefined = tree
  for (const key of path.slice(0, -1)) {
    node = key === '[]' ? node?.items : alternatives(node ?? {})[0]?.properties?.[key]
  }
  return node?.required?.includes(path.at(-1)!) === true
}

function code(value: unknown): string {
  return value === undefined ? '' : `\`${cell(JSON.stringify(value))}\``
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}
