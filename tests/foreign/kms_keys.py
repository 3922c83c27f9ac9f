"""Makes keys in a KMS at the address given, with Amazon's own client: `alias/NAME` for each `NAME=KEY_SPEC`."""

import sys

import boto3


def main(address, *wishes):
    kms = boto3.client("kms", endpoint_url=address)
    for wish in wishes:
        name, kind = wish.split("=")
        made = kms.create_key(KeySpec=kind, KeyUsage="SIGN_VERIFY")
        kms.create_alias(AliasName=f"alias/{name}", TargetKeyId=made["KeyMetadata"]["KeyId"])
        print(made["KeyMetadata"]["Arn"])


main(*sys.argv[1:])
