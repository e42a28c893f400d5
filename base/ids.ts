import { createHash, randomBytes } from 'node:crypto';

/** A content address: lower-case hexadecimal SHA-256, 64 characters. */
export type Sha256 = string;

export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}

export function sha256(bytes: Uint8Array | string): Sha256 {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A short random id with a readable prefix: `job_k3v9x1a2m4q7`. */
export function randomId(prefix: string): string {
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  const text = [...randomBytes(12)].map((byte) => alphabet[byte & 31]!).join('');
  return `${prefix}_${text}`;
}
