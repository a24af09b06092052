// A shop in Express: when it checks, holds, redeems and gives back, and how it receives events.
//
//     npm install express standardwebhooks
//     VOUCHERPOOL_URL=https://vouchers.example.com VOUCHERPOOL_KEY=vp_… \
//     VOUCHERPOOL_WEBHOOK_SECRET=whsec_… node shop_express.mjs

import { createHash, randomUUID } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";

import express from "express";
import { Webhook } from "standardwebhooks";

const url = process.env.VOUCHERPOOL_URL ?? "http://127.0.0.1:5000";
const key = process.env.VOUCHERPOOL_KEY; // `make run` needs none
const webhook = new Webhook(process.env.VOUCHERPOOL_WEBHOOK_SECRET);
const attempts = 4;

// They stand for two tables of your database. The id of an event is its primary key there.
const orders = new Map();
const receivedEvents = new Set();

// The service refused the request; `code` says why, and never changes.
class Refused extends Error {
  constructor(problem) {
    super(problem.detail);
    this.code = problem.code;
  }
}

// Sends a request, and repeats it with the same key while the service does not answer or cannot serve.
async function call(path, body, idempotencyKey = randomUUID()) {
  const headers = { "Content-Type": "application/json", "Idempotency-Key": idempotencyKey };
  if (key) headers["Authorization"] = `Bearer ${key}`;
  const request = { method: "POST", headers, body: JSON.stringify(body) };
  for (let attempt = 1; ; attempt++) {
    let seconds = 0.2 * 2 ** attempt;
    let failure;
    try {
      const answer = await fetch(url + path, { ...request, signal: AbortSignal.timeout(5000) });
      if (answer.status === 204) return null;
      const value = await answer.json();
      if (answer.ok) return value;
      failure = new Refused(value);
      if (answer.status !== 503) attempt = attempts;
      seconds = Number(answer.headers.get("Retry-After") ?? seconds);
    } catch (error) {
      failure = error; // no connection, or no answer in time
    }
    if (attempt >= attempts) throw failure;
    await pause(seconds * 1000);
  }
}

// What the service must know of the order. A guest becomes a customer when the voucher is held.
function terms({ code, email, amount }) {
  return { code, email, order_amount: amount, currency: "EUR", create_customer: true };
}

const shop = express();

// The signature is of the bytes that came, so this route reads no JSON.
shop.post("/events", express.raw({ type: "*/*" }), (request, response) => {
  try {
    webhook.verify(request.body, request.headers);
  } catch {
    return response.sendStatus(400); // forged, or too old
  }
  // In a database: insert the id and book in one transaction, and book nothing if the id is there.
  const id = request.headers["webhook-id"];
  if (!receivedEvents.has(id)) {
    receivedEvents.add(id);
    book(JSON.parse(request.body));
  }
  response.sendStatus(204);
});

// Adds what a voucher took off its order, or subtracts what was given back.
function book(event) {
  const sign = { "voucher.redeemed": 1, "redemption.reversed": -1 }[event.type];
  const redemption = event.data.redemption;
  const order = orders.get(redemption?.order_ref);
  if (sign && order) order.booked_cents += sign * Math.round(redemption.discount_amount * 100);
}

shop.use(express.json());

// The customer types the code: check. Nothing changes, and nothing is reserved.
shop.post("/orders", async (request, response) => {
  // In your shop the amount comes from the cart that you keep, not from the browser.
  const { ref, email, code, amount } = request.body;
  const order = { ref, email, code, amount, state: "open", discount: null, booked_cents: 0 };
  const client_ref = createHash("sha256").update(request.ip).digest("hex");
  const checked = await call("/vouchers/check", { ...terms(order), client_ref });
  if (!checked.redeemable) return response.status(409).json({ reason: checked.reason });
  orders.set(order.ref, order);
  response.status(201).json({ discount: checked.discount_amount });
});

shop.param("ref", (request, response, next, ref) => {
  request.order = orders.get(ref);
  return request.order ? next() : response.sendStatus(404);
});

// The payment begins: hold. Nobody else takes the use, and the price stays.
shop.post("/orders/:ref/payment", async (request, response) => {
  try {
    // As long as your payment provider lets a customer take.
    const held = await call("/vouchers/hold", { ...terms(request.order), ttl_seconds: 1800 });
    request.order.hold_id = held.hold_id;
    response.sendStatus(204);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // Somebody was faster: show the full price before anything is paid.
    response.status(409).json({ reason: error.code });
  }
});

// The money is there: redeem. Payment providers call this more than once.
shop.post("/orders/:ref/payment-succeeded", async (request, response) => {
  // Store this first. Whatever happens then, the order is known to be paid and not redeemed yet.
  if (request.order.state === "open") request.order.state = "paid";
  if (request.order.state !== "paid") return response.sendStatus(404);
  await redeem(request.order);
  response.sendStatus(204);
});

// A repeat for the same order_ref changes nothing. Let a job call this again for the orders that are
// paid and have no discount: this process may have stopped before the answer came.
async function redeem(order) {
  try {
    const body = { ...terms(order), order_ref: order.ref };
    const redeemed = await call("/vouchers/redeem", body, `redeem-${order.ref}`);
    order.discount = redeemed.discount_amount;
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    // The customer has paid the lower price, so honour it; and let somebody look why.
    console.error(`Order ${order.ref} was paid, but its voucher is not redeemed: ${error.code}`);
  }
}

// The payment failed: release. Others can use the voucher at once.
shop.post("/orders/:ref/payment-failed", async ({ order }, response) => {
  if (order.hold_id) await call("/vouchers/release", { hold_id: order.hold_id });
  response.sendStatus(204);
});

// A paid order is cancelled: give back all vouchers of the order, however often this is asked.
shop.post("/orders/:ref/cancel", async ({ order }, response) => {
  order.state = "cancelled";
  const reason = "cancelled by the customer";
  await call("/redemptions/reverse", { order_ref: order.ref, reason });
  response.sendStatus(204);
});

shop.get("/orders/:ref", ({ order }, response) => {
  const { state, discount, booked_cents } = order;
  response.json({ state, discount, booked: booked_cents / 100 });
});

shop.listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
