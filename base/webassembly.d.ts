/**
 * The part of WebAssembly's JavaScript interface that we use: TypeScript declares it in the DOM library only,
 * which would bring `window` and the like into scope.
 * @see https://www.w3.org/TR/wasm-js-api-2/
 */
declare namespace WebAssembly {
  class Memory {
    /** Sizes in pages of 64 KiB. */
    constructor(descriptor: { readonly initial: number; readonly maximum?: number });
    readonly buffer: ArrayBuffer;
    /** Adds pages and detaches the buffer; returns the number of pages before. */
    grow(pages: number): number;
  }
  class Module {
    constructor(bytes: Uint8Array);
    private readonly opaque: never;
  }
  class Instance {
    constructor(module: Module, imports?: Readonly<Record<string, Readonly<Record<string, unknown>>>>);
    readonly exports: Readonly<Record<string, unknown>>;
  }
}
