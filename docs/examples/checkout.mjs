// A checkout in Node 18 or newer: issue two vouchers, check one, redeem both. Needs nothing but Node.
//
//     VOUCHERPOOL_URL=https://vouchers.example.com VOUCHERPOOL_KEY=vp_… node checkout.mjs

import { createHash, randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

const url = process.env.VOUCHERPOOL_URL ?? "http://127.0.0.1:5000";
const key = process.env.VOUCHERPOOL_KEY; // `make run` needs none
const timeoutMilliseconds = 5000;
const attempts = 4;

// What to tell the customer. A repeat of the request would be refused again.
const messages = {
  voucher_not_found: "We do not know this code. Please check its spelling.",
  customer_not_found: "We do not know this code. Please check its spelling.",
  voucher_already_redeemed: "This voucher has been used.",
  redemption_limit_reached: "This voucher has been used as often as it may be.",
  customer_limit_reached: "You have used this offer as often as you may.",
  voucher_expired: "This voucher has expired.",
  voucher_disabled: "This voucher has been stopped. Please ask our support.",
  offer_budget_exhausted: "This offer is used up, or too small for this order.",
  voucher_not_started: "This voucher is not valid yet.",
  offer_not_active: "This offer has not begun, or is over.",
  voucher_held: "This voucher is in use. Please try again in some minutes.",
  order_below_minimum: "This voucher needs a larger order.",
  currency_mismatch: "This voucher is for another currency.",
  too_many_failed_attempts: "We cannot check codes just now. Please try again in a minute.",
};

// The service refused the request; `code` says why, and never changes.
class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.code = problem.code;
  }
}

// Sends a request, and repeats it while the service does not answer or cannot serve.
// A repeat is safe if it changes nothing, or has an Idempotency-Key.
async function call(path, body, idempotencyKey) {
  const headers = { "Content-Type": "application/json" };
  if (key) headers["Authorization"] = `Bearer ${key}`;
  if (idempotencyKey) headers["Idempotency-Key"] = idempotencyKey;
  let failure;
  for (let attempt = 0; attempt < attempts; attempt++) {
    let seconds = 0.2 * 2 ** attempt;
    try {
      const signal = AbortSignal.timeout(timeoutMilliseconds);
      const request = { method: "POST", headers, body: JSON.stringify(body), signal };
      const answer = await fetch(url + path, request);
      if (answer.ok) return await answer.json();
      const problem = await answer.json();
      if (answer.status !== 503) throw new Refused(problem);
      failure = new Refused(problem);
      seconds = Number(answer.headers.get("Retry-After") ?? 1);
    } catch (error) {
      if (error instanceof Refused) throw error;
      failure = error; // no connection, or no answer in time
    }
    await pause(seconds * 1000);
  }
  throw failure;
}

const email = "customer1@gmail.com"; // one of the seeds
const expiry = "2099-12-31T23:59:59+01:00";
const terms = { email, offer_name: "KOI", discount: 22.1, expiry };
const { code } = await call("/vouchers/generate", terms, randomUUID());
const { code: second } = await call("/vouchers/generate", terms, randomUUID());

// Amounts are in major units: 59.9 is 59 euros and 90 cents.
const order = { code, email, order_amount: 59.9, currency: "EUR" };

// Who typed the code: their wrong codes count for them alone (docs/operations.md, "Guessing").
const address = "203.0.113.7";
order.client_ref = createHash("sha256").update(address).digest("hex");

const checked = await call("/vouchers/check", order);
console.log(`${code} takes ${checked.discount_amount} off.`);

// One order, one key: whatever is repeated, the voucher is redeemed once.
order.order_ref = randomUUID();
let redeemed = await call("/vouchers/redeem", order, order.order_ref);
console.log(`Redeemed: ${redeemed.discount_amount} off, redemption ${redeemed.redemption_id}.`);

// A second voucher of the order: the amount is what is left to pay.
order.code = second;
order.order_amount = Number((order.order_amount - redeemed.discount_amount).toFixed(2));
redeemed = await call("/vouchers/redeem", order, `${order.order_ref}-2`);
console.log(`Redeemed: ${redeemed.discount_amount} off, redemption ${redeemed.redemption_id}.`);

try {
  await call("/vouchers/redeem", { ...order, order_ref: randomUUID() });
} catch (error) {
  // What is not in the table is a mistake of the shop: log it and tell somebody.
  console.log(messages[error.code] ?? `Something went wrong: ${error.message}`);
}
