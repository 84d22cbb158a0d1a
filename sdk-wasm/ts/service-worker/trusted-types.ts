interface UrlPolicy {
    createScriptURL(url: string): string;
}

interface TrustedTypes {
    createPolicy(name: string, rules: UrlPolicy): UrlPolicy;
}

let policy: UrlPolicy | undefined;

/**
 * The URL as browsers with Trusted Types take it: made by the policy `steve-sdk`, which a content
 * security policy with `trusted-types` has to name.
 */
export function trustedScriptUrl(url: URL): string {
    const { trustedTypes } = globalThis as { trustedTypes?: TrustedTypes };
    policy ??= trustedTypes?.createPolicy("steve-sdk", { createScriptURL: (text) => text });
    return policy?.createScriptURL(url.href) ?? url.href;
}
