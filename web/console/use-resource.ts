// Something that a screen asks the API for: what came, what went wrong, and a way to ask again. `inputs` lists what
// `load` depends on; with `everyMs` it is asked again as long as it is shown.
import { useCallback, useEffect, useState } from 'preact/hooks'

export interface Resource<T> {
  value: T | undefined
  error: unknown
  reload(): Promise<void>
  replace(value: T): void
}

export function useResource<T>(
  load: () => Promise<T>,
  inputs: unknown[],
  everyMs?: number,
): Resource<T> {
  const [value, setValue] = useState<T>()
  const [error, setError] = useState<unknown>()
  const reload = useCallback(async () => {
    try {
      const loaded = await load()
      setValue(() => loaded)
      setError(undefined)
    } catch (err) {
      setError(err)
    }
  }, inputs)
  useEffect(() => {
    void reload()
    if (everyMs === undefined) return
    const timer = setInterval(() => void reload(), everyMs)
    return () => clearInterval(timer)
  }, [reload, everyMs])
  return { value, error, reload, replace: (next) => setValue(() => next) }
}
