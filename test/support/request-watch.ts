// What became of the requests of a page, as its browser saw them: nothing is intercepted.
import type { Page, Request } from 'playwright-core'

/** The page's own doing: players give up what they no longer want. Whatever a server does has another name. */
const givenUp = 'net::ERR_ABORTED'

export class RequestWatch {
  /** Answered whole. */
  finished = 0
  /** By the page itself. */
  aborted = 0
  /** Times that the page itself was loaded. */
  loads = 0
  readonly failures: string[] = []

  constructor(page: Page) {
    page.on('load', () => this.loads++)
    page.on('response', (response) => {
      if (response.status() >= 400) this.#failed(response.request(), `${response.status()}`)
    })
    page.on('requestfinished', () => this.finished++)
    page.on('requestfailed', (request) => {
      const text = request.failure()?.errorText ?? 'failed'
      if (text === givenUp) this.aborted++
      else this.#failed(request, text)
    })
  }

  #failed(request: Request, how: string): void {
    this.failures.push(`${new Date().toISOString()} ${request.url()}: ${how}`)
  }
}
