// What one check of `nearcast doctor` has to say.
import { messageOf } from '../../common/errors.ts'
import type { Verdict } from '../output.ts'

export interface Finding {
  verdict: Verdict
  /** What was looked at: `ffmpeg`, `port 443`. */
  name: string
  detail: string
  /** What to do about it; there is one for every WARN and FAIL. */
  fix?: string
}

export const ok = (name: string, detail: string): Finding => ({ verdict: 'OK', name, detail })

export const warn = (name: string, detail: string, fix: string): Finding => {
  return { verdict: 'WARN', name, detail, fix }
}

export const fail = (name: string, detail: string, fix: string): Finding => {
  return { verdict: 'FAIL', name, detail, fix }
}

/** A check that breaks is a finding too: the others go on. */
export async function findings(
  name: string,
  check: () => Promise<Finding[]> | Finding[],
): Promise<Finding[]> {
  try {
    return await check()
  } catch (err) {
    return [fail(name, `the check failed: ${messageOf(err)}`, 'Report this with the output above.')]
  }
}
