import { crc32c } from '@node-rs/crc32';

/**
 * One TFRecord: length (uint64), masked CRC-32C of the length, the bytes, masked CRC-32C of the bytes; all
 * little-endian.
 * @see https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details
 */
export function frameRecord(bytes: Uint8Array): Uint8Array {
  const record = Buffer.alloc(16 + bytes.byteLength);
  record.writeBigUInt64LE(BigInt(bytes.byteLength), 0);
  record.writeUInt32LE(masked(record.subarray(0, 8)), 8);
  record.set(bytes, 12);
  record.writeUInt32LE(masked(record.subarray(12, 12 + bytes.byteLength)), 12 + bytes.byteLength);
  return record;
}

/** A checksum of data that holds checksums is weak, so TFRecord rotates it and adds a constant. */
function masked(bytes: Buffer): number {
  const crc = crc32c(bytes);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
