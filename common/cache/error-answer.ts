// Answers that a cache makes itself when it has nothing to pass on: small JSON bodies that say what is wrong
// in words for people, without addresses of the inside.

export interface LocalAnswer {
  status: number
  body: string
  contentType?: string
  cacheControl?: string
}

export function errorAnswer(status: number, code: string, message: string): LocalAnswer {
  return { status, body: `${JSON.stringify({ error: code, message })}\n` }
}

/** Why nothing, or not all, came from upstream. */
export type UpstreamFailure =
  | 'unreachable'
  | 'no-upstream'
  | 'timeout'
  | 'broken'
  | 'unusable'
  | 'too-large'
  | 'unresolved'

const answers: Record<UpstreamFailure, [status: number, message: string]> = {
  unreachable: [502, 'No server that has this can be reached at the moment.'],
  'no-upstream': [503, 'No server that could have this is known at the moment.'],
  timeout: [504, 'The server that has this did not answer in time.'],
  broken: [502, 'The server that has this broke off its answer.'],
  unusable: [502, 'The server that has this gave an answer that cannot be passed on.'],
  'too-large': [502, 'This is larger than the cache accepts (cache.maxObjectBytes).'],
  unresolved: [503, 'Where this is cannot be found out at the moment.'],
}

export function failureAnswer(failure: UpstreamFailure): LocalAnswer {
  const [status, message] = answers[failure]
  return errorAnswer(status, `upstream-${failure}`, message)
}
