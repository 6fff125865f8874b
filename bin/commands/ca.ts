// `nearcast ca show|trust|issue`: the local CA of this machine's nodes, how to have its certificates accepted, and
// certificates for nodes that prove themselves to each other.
import { existsSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { systemClock } from '../../common/clock.ts'
import { ServiceError } from '../../common/errors.ts'
import { type CaFacts, caFile, LocalCa, readCaFacts } from '../../common/local-ca/local-ca.ts'
import { replacePem } from '../../common/local-ca/pem-files.ts'
import { applyTrust, shellLines, trustPlan } from '../../common/local-ca/trust.ts'
import { printJson, printLine, printNote } from '../output.ts'
import { defaultDataDir } from '../up/all-in-one.ts'

interface Options {
  data: string
  dir?: string
  json?: boolean
  print?: boolean
}

export function register(program: Command): void {
  const ca = program.command('ca').description('the local CA that signs the certificates of POPs')

  withFolder(ca.command('show'))
    .description('show where the CA is and its certificate')
    .action(async (options: Options) => {
      const facts = await factsOf(options)
      if (options.json) return printJson(facts)
      printLine(`File         ${facts.file}`)
      printLine(`Subject      ${facts.subject}`)
      printLine(`Fingerprint  ${facts.fingerprint256}`)
      printLine(`Valid until  ${facts.validTo}`)
      return printLine(`\n${facts.pem.trim()}`)
    })

  withFolder(ca.command('trust'))
    .description('make this machine trust the CA; without root: show the commands')
    .option('--print', 'only show the commands')
    .action(async (options: Options) => {
      const facts = await factsOf(options)
      const plan = trustPlan({
        platform: process.platform,
        has: existsSync,
        caFile: facts.file,
        fingerprint256: facts.fingerprint256,
      })
      if (!plan) {
        throw new ServiceError(
          `The trust store of this system is not known here. Add ${facts.file} to it by hand.`,
          { code: 'trust-unknown', source: 'internal' },
        )
      }
      const isRoot = process.getuid?.() === 0
      const isApplied = isRoot && options.print !== true
      if (isApplied) await applyTrust(plan)
      const commands = shellLines(plan, isRoot ? '' : 'sudo ')
      if (options.json) printJson({ trusted: isApplied, system: plan.system, commands })
      else if (isApplied)
        printLine(`${facts.file} is trusted by this machine now (${plan.system}).`)
      else printLine(commands.join('\n'))
      if (!isApplied && options.print !== true) {
        printNote('Only root may do this. Run the commands above.')
        process.exitCode = 1
      }
      if (isApplied && !options.json) {
        printNote(
          'Firefox, and Chromium on Linux, keep stores of their own: import the file there.',
        )
      }
    })

  ca.command('issue')
    .argument('<names...>', 'host names and addresses by which the node is reached')
    .description('make a certificate for a node, for mutual TLS between edges and gateways')
    .requiredOption('--dir <dir>', 'folder of the CA for nodes; made where there is none')
    .requiredOption('--out <dir>', 'folder for node.pem, node-key.pem and cluster-ca.pem')
    .action(issue)
}

interface IssueOptions {
  dir: string
  out: string
}

async function issue(names: string[], { dir, out }: IssueOptions): Promise<void> {
  const folder = resolve(dir)
  const ca = await LocalCa.open({ dir: folder, clock: systemClock })
  const { certificatePem, keyPem } = await ca.issueForNode(names)
  const facts = await readCaFacts(folder)
  const target = resolve(out)
  await mkdir(target, { recursive: true })
  const files = {
    certFile: join(target, 'node.pem'),
    keyFile: join(target, 'node-key.pem'),
    caFile: join(target, 'cluster-ca.pem'),
  }
  await replacePem(files.keyFile, 'key', keyPem)
  await replacePem(files.certFile, 'certificate', certificatePem)
  await replacePem(files.caFile, 'certificate', facts!.pem)
  printLine('mutualTls:')
  for (const [name, file] of Object.entries(files)) printLine(`  ${name}: ${file}`)
}

function withFolder(command: Command): Command {
  return command
    .option(
      '--data <dir>',
      'data directory of nearcast up; the CA is in ca below it',
      defaultDataDir,
    )
    .option('--dir <dir>', 'folder of the CA itself (tls.localCa.dir of an edge)')
    .option('--json', 'as JSON')
}

async function factsOf({ data, dir }: Options): Promise<CaFacts> {
  const folder = resolve(dir ?? join(data, 'ca'))
  const facts = await readCaFacts(folder)
  if (facts) return facts
  throw new ServiceError(
    `There is no ${caFile(folder)}. It is made when the first POP of this data directory starts.`,
    { code: 'ca-absent', source: 'internal' },
  )
}
