// Draws a component again when a store that it reads has changed.
import { useEffect, useState } from 'preact/hooks'
import type { Readable } from './store.ts'

export function useStore<T>(store: Readable<T>): T {
  const [value, setValue] = useState(() => store.get())
  useEffect(() => {
    // The value may have changed between drawing and subscribing.
    setValue(() => store.get())
    return store.subscribe(() => setValue(() => store.get()))
  }, [store])
  return value
}
