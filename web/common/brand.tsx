// The name and its mark: something near that reaches out.

export function Mark() {
  return (
    <svg viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="2" aria-hidden="true">
      <circle cx="6" cy="18" r="3" fill="currentColor" stroke="none" />
      <path d="M6 10.5A7.5 7.5 0 0 1 13.5 18" stroke-linecap="round" />
      <path d="M6 4a14 14 0 0 1 14 14" stroke-linecap="round" opacity=".55" />
    </svg>
  )
}

export function Brand() {
  return (
    <span class="brand">
      <Mark />
      <span>Nearcast</span>
    </span>
  )
}
