// What a reader has chosen, kept in the browser; a browser that forbids storage just forgets.

export function readPreference(name: string): string | null {
  try {
    return localStorage.getItem(`nearcast.${name}`)
  } catch {
    return null
  }
}

export function writePreference(name: string, value: string): void {
  try {
    localStorage.setItem(`nearcast.${name}`, value)
  } catch {
    // Private windows may refuse: the choice then lasts as long as the page.
  }
}
