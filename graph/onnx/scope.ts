import { modelError, type Place } from './fail.js';

/**
 * What the names in one graph, body or function of the file mean: each is a value of the graph that is read, whose
 * name differs where the file uses a name more than once. A name that a body gives hides the same name outside.
 */
export class Scope {
  private readonly own = new Map<string, string>();

  /** @param around the scope that a body sees through to; a function has none */
  constructor(
    private readonly what: string,
    private readonly around?: Scope,
  ) {}

  /** The scope of the graph itself, in which names are values. */
  static ofGraph(names: Iterable<string>): Scope {
    const scope = new Scope('the graph');
    for (const name of names) scope.own.set(name, name);
    return scope;
  }

  /** @throws ModelError for a name that this scope has already */
  define(name: string, value: string, place: Place): void {
    if (this.own.has(name)) {
      throw modelError({ ...place, value: name }, `"${name}" is given twice in ${this.what}`);
    }
    this.own.set(name, value);
  }

  /** The value that a name means here; undefined where nothing gives it. An omitted value stays omitted. */
  find(name: string): string | undefined {
    return name === '' ? '' : (this.own.get(name) ?? this.around?.find(name));
  }

  /** @throws ModelError for a name that nothing here gives */
  valueOf(name: string, reader: string, place: Place): string {
    const value = this.find(name);
    if (value !== undefined) return value;
    throw modelError(
      { ...place, value: name },
      `${reader} reads "${name}", which nothing in ${this.what} gives`,
    );
  }
}
