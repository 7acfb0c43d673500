/** Numbers as people read them. */

const whole = new Intl.NumberFormat('en');

export function count(n: number, one: string, many = `${one}s`): string {
  return `${whole.format(n)} ${n === 1 ? one : many}`;
}

export function percent(share: number): string {
  return `${Math.round(share * 100)}\u00a0%`;
}

export function bytes(n: number): string {
  if (n < 1000) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(0)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

export function millions(n: number): string {
  return n < 1e6 ? whole.format(n) : `${(n / 1e6).toFixed(1)} million`;
}

export function seconds(s: number): string {
  if (s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 90) return `${Math.round(s)} s`;
  return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}

/** Two significant digits, without e-notation where a plain number is as short. */
export function small(x: number): string {
  if (x === 0) return '0';
  return Math.abs(x) < 1e-3 ? x.toExponential(1) : x.toPrecision(2);
}
