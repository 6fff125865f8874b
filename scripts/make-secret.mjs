// Writes a new cluster secret into a file that only its owner can read; an existing one stays as it is.
//
//   node scripts/make-secret.mjs FILE
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'

const [file] = process.argv.slice(2)

if (file === undefined) {
  process.stderr.write('usage: node scripts/make-secret.mjs FILE\n')
  process.exitCode = 2
} else {
  try {
    const secret = `ncs_${randomBytes(32).toString('base64url')}\n`
    writeFileSync(file, secret, { flag: 'wx', mode: 0o600 })
    process.stdout.write(`${file} written\n`)
  } catch (err) {
    if (err.code === 'EEXIST') process.stdout.write(`${file} is there already\n`)
    else {
      process.stderr.write(`${err.message}\n`)
      process.exitCode = 1
    }
  }
}
