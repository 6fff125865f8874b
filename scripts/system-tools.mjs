// Programs that come from the operating system: looks for them, installs them where it may, else says how.
import { accessSync, constants, existsSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { runCaptured } from './captured.mjs'
import { step } from './progress.mjs'
import { SetupError } from './project.mjs'

// `commands`: of each inner list one must be there. `debian`: the first that the machine's sources offer.
export const tools = {
  ffmpeg: { commands: [['ffmpeg'], ['ffprobe']], debian: ['ffmpeg'] },
  chromium: {
    commands: [['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome']],
    debian: ['chromium', 'chromium-browser'],
  },
  nginx: { commands: [['nginx']], debian: ['nginx'] },
  // Libraries, which only the loader can miss.
  libatomic1: { commands: [], debian: ['libatomic1'] },
  'libstdc++6': { commands: [], debian: ['libstdc++6'] },
}

/** Full path of the first of these commands that is installed. */
export function findCommand(names) {
  const dirs = (process.env.PATH ?? '').split(delimiter)
  // A plain user's PATH lacks the folders where servers are installed.
  for (const dir of [...dirs, '/usr/local/sbin', '/usr/sbin', '/sbin']) {
    for (const name of names) {
      const file = join(dir, name)
      if (dir !== '' && isExecutable(file)) return file
    }
  }
  return undefined
}

/** Full path of a tool's program that is known to be there. */
export function pathOfTool(name) {
  return findCommand(tools[name].commands[0])
}

export function missingTools(names) {
  return names.filter((name) => !tools[name].commands.every((choice) => findCommand(choice)))
}

export async function installTools(names) {
  const isRoot = process.getuid?.() === 0
  if (!findCommand(['apt-get'])) throw new SetupError(adviceWithoutApt(names))
  if (!isRoot || process.env.NEARCAST_NO_INSTALL === '1') {
    throw new SetupError(adviceWithApt(names, isRoot))
  }
  if (!hasPackageLists()) await updateLists()
  let result = await aptInstall(names)
  if (result.code !== 0) {
    await updateLists()
    result = await aptInstall(names)
  }
  const stillMissing = missingTools(names)
  if (result.code !== 0 || stillMissing.length > 0) {
    throw new SetupError(
      `${result.tail}\n\napt-get could not install ${stillMissing.join(', ')}. ` +
        'When what it said above is mended, run the command again.',
    )
  }
}

function adviceWithApt(names, isRoot) {
  const packages = names.map((name) => tools[name].debian[0]).join(' ')
  const sudo = isRoot ? '' : 'sudo '
  return `${names.join(', ')} is missing. Install it, then run the command again:\n\n  ${sudo}apt-get install -y ${packages}\n`
}

function adviceWithoutApt(names) {
  const how =
    process.platform === 'darwin'
      ? `:\n\n  brew install ${names.join(' ')}\n`
      : ' with your package manager.'
  return `${names.join(', ')} is missing. Install it, then run the command again${how}`
}

function updateLists() {
  return step('Fetching the package lists of the system', () => runCaptured('apt-get', ['update']))
}

async function aptInstall(names) {
  const packages = []
  for (const name of names) packages.push(await offeredPackage(tools[name].debian))
  return step(`Installing ${packages.join(', ')} with apt-get`, (update) =>
    withoutStartingServers(() =>
      runCaptured(
        'apt-get',
        [
          'install',
          '--yes',
          '--no-install-recommends',
          ...['Dpkg::Use-Pty=0', 'APT::Status-Fd=3', 'DPkg::Lock::Timeout=300'].flatMap(
            (option) => ['-o', option],
          ),
          ...packages,
        ],
        {
          env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C.UTF-8' },
          onStatus: (line) => {
            const text = progressOf(line)
            if (text) update(text)
          },
        },
      ),
    ),
  )
}

async function offeredPackage(choices) {
  for (const name of choices.slice(0, -1)) {
    const { tail } = await runCaptured('apt-cache', ['policy', name])
    if (/Candidate: (?!\(none\))/.test(tail)) return name
  }
  return choices.at(-1)
}

/** A line of APT::Status-Fd: `dlstatus:3:41.2:…` while it downloads, `pmstatus:name:76.0:…` while it unpacks. */
function progressOf(line) {
  const [kind, , percent] = line.split(':')
  if (kind === 'dlstatus') return `downloading ${Math.round(Number(percent))} %`
  if (kind === 'pmstatus') return `installing ${Math.round(Number(percent))} %`
  return undefined
}

/** Debian starts a server as soon as it is installed, and nginx would then hold port 80; its policy file says no. */
async function withoutStartingServers(work) {
  const policyFile = '/usr/sbin/policy-rc.d'
  if (existsSync(policyFile)) return work()
  writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 })
  try {
    return await work()
  } finally {
    rmSync(policyFile, { force: true })
  }
}

function hasPackageLists() {
  const dir = '/var/lib/apt/lists'
  return existsSync(dir) && readdirSync(dir).some((name) => name.includes('_Packages'))
}

function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
