# Buckets and objects, with every resource that the store of objects has.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}

variable "endpoint" { type = string }
variable "label" { type = string }

provider "aws" {
  s3_use_path_style = true
  endpoints {
    s3  = var.endpoint
    sts = var.endpoint
  }
}

data "aws_caller_identity" "me" {}

resource "aws_s3_bucket" "main" {
  bucket        = "of-terraform"
  force_destroy = true
  tags          = { Name = var.label }
}

resource "aws_s3_bucket" "logs" {
  bucket = "of-terraform-logs"
}

resource "aws_s3_bucket" "locked" {
  bucket              = "of-terraform-locked"
  object_lock_enabled = true
}

resource "aws_s3_bucket_versioning" "main" {
  bucket = aws_s3_bucket.main.id
  versioning_configuration { status = "Enabled" }
}

resource "aws_s3_bucket_ownership_controls" "main" {
  bucket = aws_s3_bucket.main.id
  rule { object_ownership = "BucketOwnerPreferred" }
}

resource "aws_s3_bucket_acl" "main" {
  depends_on = [aws_s3_bucket_ownership_controls.main]
  bucket     = aws_s3_bucket.main.id
  acl        = "private"
}

resource "aws_s3_bucket_public_access_block" "main" {
  bucket              = aws_s3_bucket.main.id
  block_public_acls   = true
  block_public_policy = true
}

resource "aws_s3_bucket_policy" "main" {
  bucket = aws_s3_bucket.main.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "own"
      Effect    = "Allow"
      Principal = { AWS = "arn:aws:iam::${data.aws_caller_identity.me.account_id}:root" }
      Action    = ["s3:GetObject"]
      Resource  = ["${aws_s3_bucket.main.arn}/*"]
    }]
  })
}

resource "aws_s3_bucket_cors_configuration" "main" {
  bucket = aws_s3_bucket.main.id
  cors_rule {
    allowed_methods = ["GET", "PUT"]
    allowed_origins = ["https://example.org"]
    expose_headers  = ["ETag"]
    max_age_seconds = 60
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "main" {
  bucket = aws_s3_bucket.main.id
  rule {
    id     = "old"
    status = "Enabled"
    filter { prefix = "tmp/" }
    expiration { days = 7 }
    noncurrent_version_expiration { noncurrent_days = 3 }
    abort_incomplete_multipart_upload { days_after_initiation = 2 }
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "main" {
  bucket = aws_s3_bucket.main.id
  rule {
    apply_server_side_encryption_by_default { sse_algorithm = "AES256" }
  }
}

resource "aws_s3_bucket_website_configuration" "main" {
  bucket = aws_s3_bucket.main.id
  index_document { suffix = "index.html" }
  error_document { key = "error.html" }
}

resource "aws_s3_bucket_logging" "main" {
  bucket        = aws_s3_bucket.main.id
  target_bucket = aws_s3_bucket.logs.id
  target_prefix = "log/"
}

resource "aws_s3_bucket_notification" "main" {
  bucket      = aws_s3_bucket.main.id
  eventbridge = true
}

resource "aws_s3_bucket_request_payment_configuration" "main" {
  bucket = aws_s3_bucket.main.id
  payer  = "Requester"
}

resource "aws_s3_bucket_accelerate_configuration" "main" {
  bucket = aws_s3_bucket.main.id
  status = "Suspended"
}

resource "aws_s3_bucket_object_lock_configuration" "locked" {
  bucket = aws_s3_bucket.locked.id
  rule {
    default_retention {
      mode = "GOVERNANCE"
      days = 1
    }
  }
}

resource "aws_s3_object" "one" {
  depends_on   = [aws_s3_bucket_versioning.main, aws_s3_bucket_server_side_encryption_configuration.main]
  bucket       = aws_s3_bucket.main.id
  key          = "a/one.txt"
  content      = "one ${var.label}"
  content_type = "text/plain"
  metadata     = { label = var.label }
  tags         = { Name = var.label }
}

resource "aws_s3_object_copy" "two" {
  bucket = aws_s3_bucket.main.id
  key    = "a/two.txt"
  source = "${aws_s3_bucket.main.id}/${aws_s3_object.one.key}"

  tagging_directive = "REPLACE"
}

data "aws_s3_object" "one" {
  bucket = aws_s3_bucket.main.id
  key    = aws_s3_object.one.key
}

data "aws_s3_bucket" "main" { bucket = aws_s3_bucket.main.id }

data "aws_s3_objects" "all" {
  depends_on = [aws_s3_object_copy.two]
  bucket     = aws_s3_bucket.main.id
}

output "body" { value = data.aws_s3_object.one.body }
output "keys" { value = data.aws_s3_objects.all.keys }
