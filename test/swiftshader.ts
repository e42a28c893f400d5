import { existsSync } from 'node:fs';

/** What makes a process's Vulkan, and with it WebGPU, run on the CPU. */
export interface SwiftShader {
  /** For a child process; see `useSwiftShader` for this one. */
  readonly env: Readonly<Record<string, string>>;
}

/** Where Debian's and Ubuntu's package `chromium`, and Chrome itself, put the driver's description. */
const DRIVERS = [
  '/usr/lib/chromium/vk_swiftshader_icd.json',
  '/usr/lib/chromium-browser/vk_swiftshader_icd.json',
  '/opt/google/chrome/vk_swiftshader_icd.json',
];

/** The loader that reads the description (package `libvulkan1`). */
const LOADERS = [
  '/usr/lib/x86_64-linux-gnu/libvulkan.so.1',
  '/usr/lib/aarch64-linux-gnu/libvulkan.so.1',
  '/usr/lib64/libvulkan.so.1',
  '/usr/lib/libvulkan.so.1',
];

/** The software Vulkan driver that the WebGPU tests run on; undefined where it is not installed. */
export function swiftShader(): SwiftShader | undefined {
  const driver = DRIVERS.find((path) => existsSync(path));
  if (driver === undefined || !LOADERS.some((path) => existsSync(path))) return undefined;
  return { env: { VK_ICD_FILENAMES: driver } };
}

/**
 * Makes this process use SwiftShader; call it before anything loads Vulkan.
 * @returns why a test must be skipped (for tap's `skip`), or false when the driver is there
 */
export function useSwiftShader(): string | false {
  const found = swiftShader();
  if (!found) return 'SwiftShader is not installed (deploy/setup.sh --test: chromium and libvulkan1)';
  Object.assign(process.env, found.env);
  return false;
}
