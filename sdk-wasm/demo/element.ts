/** The element with this id. */
export function element<T extends HTMLElement>(id: string, type: new () => T): T {
    const found = document.getElementById(id);
    if (found instanceof type) return found;
    throw new Error(`the page has no ${id}`);
}

/** A new element that holds this. */
export function make(name: string, ...content: (string | Node)[]): HTMLElement {
    const made = document.createElement(name);
    made.append(...content);
    return made;
}
