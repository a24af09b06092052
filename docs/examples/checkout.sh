#!/bin/sh
# A checkout with curl: issue two vouchers, check one, redeem both.
#
#     VOUCHERPOOL_URL=https://vouchers.example.com VOUCHERPOOL_KEY=vp_… sh checkout.sh

set -eu
url=${VOUCHERPOOL_URL:-http://127.0.0.1:5000}
key=${VOUCHERPOOL_KEY:-} # `make run` needs none

# Send a request. curl repeats it when there is no connection, no answer within 5 s, or a 503, and
# waits as Retry-After says. A repeat is safe if it changes nothing, or has an Idempotency-Key.
# --fail-with-body ends with an error and still prints the refusal, whose `code` never changes.
call() {
    path=$1 body=$2 idempotency_key=${3:-}
    curl --silent --show-error --fail-with-body --max-time 5 --retry 3 --retry-connrefused \
        --header 'Content-Type: application/json' \
        ${key:+--header "Authorization: Bearer $key"} \
        ${idempotency_key:+--header "Idempotency-Key: $idempotency_key"} \
        --data "$body" "$url$path"
}

field() { sed -n "s/.*\"$1\":\"\{0,1\}\([^\",}]*\).*/\1/p"; }
new_id() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

email=customer1@gmail.com # one of the seeds
expiry=2099-12-31T23:59:59+01:00
issue() {
    call /vouchers/generate "{\"email\":\"$email\",\"offer_name\":\"KOI\",\"discount\":22.1,
        \"expiry\":\"$expiry\"}" "$(new_id)" | field code
}
code=$(issue) second=$(issue)
if [ -z "$code" ]; then
    echo "No voucher was issued: is the service running at $url?" >&2
    exit 1
fi

# Amounts are in major units: 59.9 is 59 euros and 90 cents.
customer="\"email\":\"$email\",\"currency\":\"EUR\""

# Who typed the code: their wrong codes count for them alone (docs/operations.md, "Guessing").
address=203.0.113.7
customer="$customer,\"client_ref\":\"$(printf %s "$address" | sha256sum | cut -d ' ' -f 1)\""
order="$customer,\"code\":\"$code\",\"order_amount\":59.9"

echo "$code takes $(call /vouchers/check "{$order}" | field discount_amount) off."

# One order, one key: whatever is repeated, the voucher is redeemed once.
order_ref=$(new_id)
redeem() { # the key of the request
    redeemed=$(call /vouchers/redeem "{$order,\"order_ref\":\"$order_ref\"}" "$1")
    off=$(echo "$redeemed" | field discount_amount)
    echo "Redeemed: $off off, redemption $(echo "$redeemed" | field redemption_id)."
}
redeem "$order_ref"

# A second voucher of the order: the amount is what is left to pay.
left=$(echo "59.9 $off" | awk '{ printf "%.2f", $1 - $2 }')
order="$customer,\"code\":\"$second\",\"order_amount\":$left"
redeem "$order_ref-2"

if refusal=$(call /vouchers/redeem "{$order,\"order_ref\":\"$(new_id)\"}" 2>/dev/null); then
    echo "Redeemed twice?"
else
    case $(echo "$refusal" | field code) in
    voucher_not_found | customer_not_found) echo "We do not know this code. Please check its spelling." ;;
    voucher_already_redeemed) echo "This voucher has been used." ;;
    redemption_limit_reached) echo "This voucher has been used as often as it may be." ;;
    customer_limit_reached) echo "You have used this offer as often as you may." ;;
    voucher_expired) echo "This voucher has expired." ;;
    voucher_disabled) echo "This voucher has been stopped. Please ask our support." ;;
    offer_budget_exhausted) echo "This offer is used up, or too small for this order." ;;
    voucher_not_started) echo "This voucher is not valid yet." ;;
    offer_not_active) echo "This offer has not begun, or is over." ;;
    voucher_held) echo "This voucher is in use. Please try again in some minutes." ;;
    order_below_minimum) echo "This voucher needs a larger order." ;;
    currency_mismatch) echo "This voucher is for another currency." ;;
    too_many_failed_attempts) echo "We cannot check codes just now. Please try again in a minute." ;;
    # A mistake of the shop: log it and tell somebody.
    *) echo "Something went wrong: $refusal" ;;
    esac
fi
