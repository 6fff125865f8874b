// What the pages of the documentation name must be there: files, commands, refusals, metrics.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { refusals } from '../../common/contract/refusal.ts'
import packageJson from '../../package.json' with { type: 'json' }

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = [...markdownIn(''), ...markdownIn('docs')]

function markdownIn(folder: string): string[] {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name))
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8')
}

function allOf(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map((match) => match[1]!))]
}

describe.each(pages)('%s', (page) => {
  const text = read(page)

  test('links to files that exist', () => {
    const links = allOf(text, /\]\(([^)#]+)[^)]*\)/g).filter((link) => !/^https?:/.test(link))
    const missing = links.filter((link) => !existsSync(join(root, dirname(page), link)))
    expect(missing).toEqual([])
  })

  test('names paths of the repository that exist', () => {
    const folders =
      'bench|bin|common|config|coordinator|deploy|docs|edge|media|origin|scripts|test|web'
    const paths = allOf(text, new RegExp(`\`((?:${folders})/[\\w@./+-]+)\``, 'g'))
    // Made by builds and runs, or named with the values to be filled in.
    const made = /^(web\/dist|bench\/results)/
    expect(paths.filter((path) => !made.test(path) && !existsSync(join(root, path)))).toEqual([])
  })

  test('names npm scripts that exist', () => {
    const scripts = allOf(text, /npm run (?:--silent )?([a-z:]+)/g)
    expect(scripts.filter((name) => !(name in packageJson.scripts))).toEqual([])
  })
})

test('the pages name commands that exist', () => {
  const commands = subcommandsOf([])
  const named = pages.flatMap((page) => allOf(read(page), /npx nearcast ([a-z]+(?: [a-z|\\]+)?)/g))
  expect(named.length).toBeGreaterThan(0)
  const uses = [...new Set(named)].map((line) => line.split(' '))
  expect(uses.filter(([name]) => !commands.includes(name!))).toEqual([])
  for (const group of ['channel', 'key', 'ca']) {
    // `key list\|create` is how tables write it.
    const used = uses.filter(([name]) => name === group).flatMap(([, rest]) => rest!.split('\\|'))
    expect(subcommandsOf([group])).toEqual(expect.arrayContaining(used))
  }
})

function subcommandsOf(command: string[]): string[] {
  const program = join(root, 'bin', 'nearcast.ts')
  const help = spawnSync(process.execPath, [program, ...command, '--help'], { encoding: 'utf8' })
  return allOf(help.stdout.slice(help.stdout.indexOf('Commands:')), /^ {2}([a-z]+)/gm)
}

test('the troubleshooting page explains every refusal, and no other', () => {
  const text = read('docs/troubleshooting.md')
  const section = text.slice(
    text.indexOf('## The publisher is refused'),
    text.indexOf('## The encoder'),
  )
  const rows = section.split('\n').filter((line) => line.startsWith('| `'))
  const explained = rows.flatMap((row) => allOf(row.split('|')[1]!, /`([a-z-]+)`/g))
  expect(explained.toSorted()).toEqual(Object.keys(refusals).toSorted())
})

test('the pages name metrics that some node exports', () => {
  const sources = ['common', 'edge', 'origin', 'coordinator'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => read(join(folder, name))),
  )
  const named = pages.flatMap((page) => allOf(read(page), /(?:nearcast|…)_([a-z_]+)`/g))
  expect(named.length).toBeGreaterThan(0)
  const missing = named.filter((name) => !sources.some((source) => source.includes(`'${name}'`)))
  expect(missing).toEqual([])
})
