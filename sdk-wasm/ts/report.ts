/** How a check ended. `not-performed`: it could not be made with these inputs. */
export type Outcome = "passed" | "failed" | "not-performed" | "not-reached";

/** One check of SPEC.md, Section 7. */
export interface Check {
    /** Its name there. */
    readonly name: string;
    /** What must hold. */
    readonly requirement: string;
    /** How it ended. */
    readonly outcome: Outcome;
    /** What was found, for a person: one line. */
    readonly detail: string;
}

/** Every check of one appraisal, in order, and what it does not prove. */
export interface Report {
    /** The checks, in the order of Section 7. */
    readonly checks: readonly Check[];
    /** The most important first. */
    readonly notProven: readonly string[];
}

/** Makes a report of what the core gives: four strings for each check. */
export function makeReport(lines: readonly string[], notProven: readonly string[]): Report {
    const checks: Check[] = [];
    for (let at = 0; at + 4 <= lines.length; at += 4) {
        const [name, requirement, outcome, detail] = lines.slice(at, at + 4) as [
            string,
            string,
            Outcome,
            string,
        ];
        checks.push(Object.freeze({ name, requirement, outcome, detail }));
    }
    return Object.freeze({
        checks: Object.freeze(checks),
        notProven: Object.freeze([...notProven]),
    });
}
