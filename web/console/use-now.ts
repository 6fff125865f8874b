// The time, once a second, for what counts upwards on a screen.
import { useEffect, useState } from 'preact/hooks'

export function useNow(): number {
  const [now, setNow] = useState(Date.now())
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  return now
}
