// Calm progress on standard error: one line a step, rewritten on a terminal, repeated now and then elsewhere.

const quietMs = 10_000

/** Runs `work`, which may call `update(text)`; prints when it began, how it goes on and how long it took. */
export async function step(title, work) {
  const startedAt = Date.now()
  const isTerminal = process.stderr.isTTY === true
  let detail = ''
  let printedAt = startedAt
  const seconds = () => `${Math.round((Date.now() - startedAt) / 1000)} s`
  const line = () => `${title} … ${[seconds(), detail].filter(Boolean).join(', ')}`
  const print = () => {
    if (isTerminal) process.stderr.write(`\r\x1b[2K${line()}`)
    else if (Date.now() - printedAt >= quietMs) {
      printedAt = Date.now()
      process.stderr.write(`${line()}\n`)
    }
  }
  process.stderr.write(isTerminal ? `${title} …` : `${title} …\n`)
  const ticker = setInterval(print, 1000)
  let outcome = 'failed after'
  try {
    const result = await work((text) => {
      detail = text
    })
    // What `runCaptured` resolves with.
    if (!result?.code) outcome = 'done in'
    return result
  } finally {
    clearInterval(ticker)
    process.stderr.write(`${isTerminal ? '\r\x1b[2K' : ''}${title} … ${outcome} ${seconds()}\n`)
  }
}
