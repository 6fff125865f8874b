// Errors that cross a module boundary: each says whose fault it is and whether trying again can help.

export type ErrorSource = 'downstream' | 'upstream' | 'internal'

export interface ServiceErrorOptions {
  /** Stable, kebab-case, safe to show and to count. */
  code: string
  source: ErrorSource
  retryable?: boolean
  cause?: unknown
}

export class ServiceError extends Error {
  override readonly name: string = 'ServiceError'
  readonly code: string
  readonly source: ErrorSource
  readonly retryable: boolean

  constructor(message: string, options: ServiceErrorOptions) {
    super(message, { cause: options.cause })
    this.code = options.code
    this.source = options.source
    this.retryable = options.retryable ?? false
  }
}

/** The message of anything that was thrown, for logs and for people. */
export function messageOf(err: unknown): string {
  return err instanceof Error ? err.message : String(err)
}
