/** An app as small as can be. */

import { connect, receiptOf } from "steve-sdk/dangerous-development";

const options = JSON.parse(decodeURIComponent(location.hash.slice(1)));
try {
    const steve = await connect(options);
    const response = await steve.fetch("/echo", { method: "POST", body: "through the channel" });
    document.title = `${await response.text()}, ${receiptOf(response).suite}`;
} catch (error) {
    document.title = `failed: ${error}`;
}
